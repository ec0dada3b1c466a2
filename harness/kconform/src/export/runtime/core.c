//@ shared FINISHED OVER FAILED SKIPPED DYING cell : stddef.h
/* What all processes of the case share: how far each has come, and what is to be printed. */
enum { RUNNING, FINISHED, OVER, FAILED, SKIPPED, DYING };
static struct shared {
	int cells;
	volatile int cell[4096];
	/* The call that failed: what it returned, and its line. */
	long failed;
	int failed_at;
	size_t used;
	char reason[256];
	char text[1 << 20];
} *shared;
static volatile int *cell;

//@ say : stdarg.h stdio.h string.h
static __attribute__((format(printf, 1, 2))) void say(const char *format, ...)
{
	char text[4096];
	va_list list;
	size_t size, at;

	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	size = strlen(text);
	at = __atomic_fetch_add(&shared->used, size, __ATOMIC_RELAXED);
	if (at + size <= sizeof(shared->text))
		memcpy(shared->text + at, text, size);
}

//@ end : unistd.h
/* Ends this process, saying how far it came. */
static __attribute__((noreturn)) void end(int state)
{
	*cell = state;
	_exit(0);
}

//@ trouble : errno.h string.h stdio.h
/* Ends the case: what it needs cannot be had, which says nothing of the kernel. */
static __attribute__((noreturn)) void trouble(const char *what)
{
	snprintf(shared->reason, sizeof(shared->reason), "%s: %s", what, strerror(errno));
	end(SKIPPED);
}

//@ skip : stdio.h stdlib.h
/* Ends the test before the case begins. */
static __attribute__((noreturn)) void skip(const char *reason)
{
	printf("ok 1 %s # SKIP %s\n", CASE, reason);
	exit(4);
}

//@ returned : errno.h stdio.h string.h
/* A return value as strace prints it. */
static const char *returned(long ret)
{
	static __thread char text[128];
	const char *name = NULL;

	if (ret >= 0 || ret < -4095) {
		snprintf(text, sizeof(text), ret > 0xffff || ret < 0 ? "%#lx" : "%ld", ret);
		return text;
	}
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 32)
	name = strerrorname_np(-ret);
#endif
	if (name)
		snprintf(text, sizeof(text), "-1 %s (%s)", name, strerror(-ret));
	else
		snprintf(text, sizeof(text), "-1 errno %ld", -ret);
	return text;
}

//@ begin done depth hush line where pending : stdarg.h stdio.h
static int depth, hush;
static __thread int pending;
static __thread const char *where;
static __thread char line[1024];

/* Prints a call before it is made. */
static __attribute__((format(printf, 2, 3))) void begin(const char *at, const char *format, ...)
{
	va_list list;

	where = at;
	va_start(list, format);
	vsnprintf(line, sizeof(line), format, list);
	va_end(list);
	if (!hush && !pending)
		say("# %*s%s", 2 * depth, "", line);
}

/* Prints what came back. */
static void done(long ret)
{
	if (!hush)
		say(" = %s\n", returned(ret));
	pending = 0;
}

//@ fail EXPECT : stdio.h stdlib.h string.h
/* Ends the case: the kernel does not conform. */
static __attribute__((noreturn)) void fail(long ret, const char *what)
{
	if (hush)
		say("# %*s%s = %s\n", 2 * depth, "", line, returned(ret));
	say("# %s: expected %s, got %s\n", where, what, returned(ret));
	shared->failed = ret;
	shared->failed_at = atoi(strrchr(where, ':') + 1);
	end(FAILED);
}
#define EXPECT(good, what) do { if (!(good)) fail(ret, what); } while (0)

//@ fail_memory EXPECT_MEMORY : stdio.h
static __attribute__((noreturn)) void fail_memory(const char *what, const void *memory, size_t size)
{
	if (hush)
		say("# %*s%s\n", 2 * depth, "", line);
	say("# %s: expected %s, got", where, what);
	for (size_t i = 0; i < size && i < 256; i++)
		say(" %02x", ((const __u8 *)memory)[i]);
	say(size > 256 ? " ... (%zu bytes)\n" : " (%zu bytes)\n", size);
	end(FAILED);
}
#define EXPECT_MEMORY(good, what, memory, size) do { if (!(good)) fail_memory(what, memory, size); } while (0)

//@ SYS : errno.h unistd.h sys/syscall.h
/* A system call: what it returns, or the negative errno. */
static long call(long number, const long arg[6])
{
	long ret = syscall(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);

	return ret == -1 ? -errno : ret;
}
#define SYS(number, ...) call(number, (long[6]){ __VA_ARGS__ })

//@ sys_bpf : errno.h unistd.h sys/syscall.h
static long sys_bpf(int command, void *attr, unsigned int size)
{
	long ret = syscall(__NR_bpf, command, attr, size);

	return ret == -1 ? -errno : ret;
}

//@ ptr :
static __u64 ptr(const void *memory)
{
	return (unsigned long)memory;
}

//@ isolate : errno.h sched.h unistd.h net/if.h sys/ioctl.h sys/mount.h sys/socket.h
/* Keeps the machine from what the case does, as far as this user may: namespaces, an empty working directory. */
static void isolate(void)
{
	int kinds[] = { CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWCGROUP, CLONE_NEWNET };
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	char folder[] = "/tmp/case-XXXXXX";
	int fd;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (unshare(kinds[i]))
			continue;
		if (kinds[i] == CLONE_NEWNET && (fd = socket(AF_INET, SOCK_DGRAM, 0)) >= 0) {
			ioctl(fd, SIOCSIFFLAGS, &lo);
			close(fd);
		}
		if (kinds[i] == CLONE_NEWNS && !mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL))
			mount("case", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
	}
	if (!mkdtemp(folder) || chdir(folder) || chmod(folder, 0777))
		skip("no working directory can be made in /tmp");
}

//@ run : errno.h fcntl.h signal.h stdio.h stdlib.h string.h time.h unistd.h sys/mman.h sys/prctl.h sys/stat.h sys/wait.h
static void print(size_t *printed)
{
	size_t used = shared->used, size = sizeof(shared->text);

	while (*printed < used && *printed < size && shared->text[*printed])
		putchar(shared->text[(*printed)++]);
	fflush(stdout);
}

/* Runs steps in a process of their own, with nothing open but /dev/null; how they ended. */
static int run(void (*steps)(void), int seconds)
{
	time_t begun = time(NULL);
	size_t printed = 0;
	pid_t pid, ended;
	int status = 0;

	shared->used = 0;
	memset(shared->text, 0, sizeof(shared->text));
	shared->cells = 1;
	shared->cell[0] = RUNNING;
	cell = &shared->cell[0];
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		skip("fork failed");
	if (pid == 0) {
		for (int fd = 0; fd < 1024; fd++)
			close(fd);
		setsid();
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		umask(022);
		if (open("/dev/null", O_RDWR) || dup(0) != 1 || dup(0) != 2)
			trouble("/dev/null");
		steps();
		end(FINISHED);
	}
	while ((ended = waitpid(pid, &status, WNOHANG)) == 0 && time(NULL) <= begun + seconds) {
		print(&printed);
		usleep(500);
	}
	kill(-pid, SIGKILL);
	kill(pid, SIGKILL);
	if (ended == 0)
		waitpid(pid, &status, 0);
	print(&printed);
	if (ended != 0 && shared->cell[0] != RUNNING && shared->cell[0] < DYING)
		return shared->cell[0];
	if (WIFSIGNALED(status) && shared->cell[0] == DYING + WTERMSIG(status)) {
		printf(" = ? +++ killed by signal %d +++\n", WTERMSIG(status));
		return FINISHED;
	}
	if (ended == 0)
		printf("\n# its time (%d s) is over\n", seconds);
	else if (WIFSIGNALED(status))
		printf("\n# killed by signal %d\n", WTERMSIG(status));
	else
		printf("\n# exited with %d before its last step\n", WEXITSTATUS(status));
	return FAILED;
}

//@ conclude : stdio.h
/* Prints the result; the exit status. */
static int conclude(int state)
{
	if (state == SKIPPED) {
		printf("ok 1 %s # SKIP %s\n", CASE, shared->reason);
		return 4;
	}
	printf("%s 1 %s\n", state == FAILED ? "not ok" : "ok", CASE);
	return state == FAILED;
}

//@ start : stdio.h stdlib.h unistd.h sys/mman.h sys/stat.h
static void start(void)
{
	printf("TAP version 13\n1..1\n");
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		skip("mmap failed");
}
