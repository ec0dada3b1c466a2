//@ judge_child : signal.h stdio.h sys/wait.h
/* What follows from the end of a child, whose steps say themselves how they ended. */
static void judge_child(int status, volatile int *state)
{
	if (*state == FINISHED)
		return;
	if (WIFSIGNALED(status) && *state == DYING + WTERMSIG(status)) {
		if (!hush)
			say(" = ? +++ killed by signal %d +++\n", WTERMSIG(status));
		return;
	}
	if (*state == OVER || *state == FAILED || *state == SKIPPED)
		end(*state);
	if (WIFSIGNALED(status))
		say("\n# the child was killed by signal %d\n", WTERMSIG(status));
	else
		say("\n# the child exited with %d before its last step\n", WEXITSTATUS(status));
	end(FAILED);
}

//@ child_ended : errno.h sys/wait.h unistd.h
static void child_ended(pid_t child, volatile int *state)
{
	int status;

	if (waitpid(child, &status, 0) != child)
		trouble("waitpid");
	judge_child(status, state);
}

//@ child_cell :
static volatile int *child_cell(void)
{
	int nth = __atomic_fetch_add(&shared->cells, 1, __ATOMIC_RELAXED);

	return &shared->cell[nth % 4096];
}

//@ forked : errno.h unistd.h
/* Forks a child that tells in *state how far it has come; 0 in the child. */
static pid_t forked(volatile int *state)
{
	pid_t child;

	*state = RUNNING;
	child = fork();
	if (child < 0)
		trouble("fork");
	if (child == 0) {
		cell = state;
		depth++;
	}
	return child;
}

//@ in_child : stdio.h
/* Forks; returns true in the child. */
static int in_child(const char *what)
{
	volatile int *state = child_cell();
	pid_t child;

	if (!hush)
		say("# %*s%s:\n", 2 * depth, "", what);
	child = forked(state);
	if (child == 0)
		return 1;
	child_ended(child, state);
	return 0;
}

//@ drop_privileges : errno.h unistd.h sys/syscall.h linux/capability.h sys/prctl.h
/* Becomes nobody (65534) with these capabilities only. */
static void drop_privileges(__u64 capabilities)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	for (int i = 0; i < 2; i++) {
		data[i].effective = data[i].permitted = data[i].inheritable = capabilities >> 32 * i;
	}
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) || syscall(__NR_setgroups, 0, NULL)
	    || syscall(__NR_setresgid, 65534, 65534, 65534) || syscall(__NR_setresuid, 65534, 65534, 65534)
	    || syscall(__NR_capset, &header, data) || prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0))
		trouble("privileges cannot be dropped");
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) && (errno != EINVAL || capabilities))
		trouble("PR_CAP_AMBIENT_CLEAR_ALL");
	for (int i = 0; i < 64; i++)
		if (capabilities >> i & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0))
			trouble("PR_CAP_AMBIENT_RAISE");
}

//@ in_child_with : errno.h string.h sys/socket.h unistd.h
static union {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(int))];
} passed;

/* Forks a child that has the fd only by SCM_RIGHTS; true in the child, where *got is the fd. */
static int in_child_with(int fd, long long *got)
{
	char byte = 0;
	struct iovec data = { &byte, 1 };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = &passed, .msg_controllen = sizeof(passed) };
	volatile int *state = child_cell();
	int pair[2], sent;
	pid_t child;

	if (!hush)
		say("# %*ssend_fd:\n", 2 * depth, "");
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		trouble("socketpair");
	child = forked(state);
	if (child == 0) {
		close(fd);
		if (fd != pair[0])
			close(pair[0]);
		if (recvmsg(pair[1], &message, 0) != 1 || message.msg_controllen < CMSG_LEN(sizeof(int)))
			trouble("recvmsg");
		close(pair[1]);
		memcpy(&fd, CMSG_DATA(&passed.header), sizeof(int));
		*got = fd;
		return 1;
	}
	close(pair[1]);
	passed.header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(&passed.header), &fd, sizeof(int));
	sent = sendmsg(pair[0], &message, 0);
	close(pair[0]);
	if (sent != 1) {
		say("# the fd %d could not be sent\n", fd);
		end(FAILED);
	}
	child_ended(child, state);
	return 0;
}

//@ begin_round :
/* Of many rounds the first three are printed, and the one that fails. */
static void begin_round(long round)
{
	if (!hush)
		say("# %*sround %ld:\n", 2 * depth, "", round);
}

//@ dies_of :
/* The next call must kill this process with the signal. */
static void dies_of(int signal)
{
	*cell = signal ? DYING + signal : RUNNING;
}

//@ in_ms again : time.h unistd.h
static long long in_ms(long long more)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000 + more;
}

/* Whether a step that does not hold yet may be tried again. */
static int again(long long until)
{
	pending = 1;
	usleep(2000);
	return in_ms(0) < until;
}

//@ in_threads : pthread.h string.h errno.h
struct thread {
	void (*steps)(struct saved saved);
	struct saved saved;
	pthread_barrier_t *together;
};

static void *thread(void *given)
{
	struct thread *own = given;

	pthread_barrier_wait(own->together);
	own->steps(own->saved);
	return NULL;
}

/* Runs each list of steps in a thread of its own, started together. */
static void in_threads(int count, void (*steps[])(struct saved saved), struct saved saved)
{
	struct thread own[count];
	pthread_t threads[count];
	pthread_barrier_t together;

	if (!hush)
		say("# %*sparallel:\n", 2 * depth, "");
	pthread_barrier_init(&together, NULL, count);
	for (int i = 0; i < count; i++) {
		own[i] = (struct thread){ steps[i], saved, &together };
		errno = pthread_create(&threads[i], NULL, thread, &own[i]);
		if (errno)
			trouble("pthread_create");
	}
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
}

//@ in_new_image resume : errno.h fcntl.h stdio.h stdlib.h sys/mman.h sys/wait.h unistd.h
/* What goes through an execve(2). */
struct luggage {
	struct shared shared;
	struct saved saved;
};

/* Goes on with these steps in a fresh image, after execve(2) in a child. */
static void in_new_image(int steps)
{
	int low = memfd_create("steps", 0), fd = fcntl(low, F_DUPFD, 1000), status;
	struct luggage *luggage;
	char words[2][16];
	pid_t child;

	if (fd < 0)
		fd = fcntl(low, F_DUPFD, 200);
	if (low < 0 || fd < 0 || ftruncate(fd, sizeof(*luggage)))
		trouble("memfd_create");
	close(low);
	luggage = mmap(NULL, sizeof(*luggage), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (luggage == MAP_FAILED)
		trouble("mmap");
	luggage->saved = saved;
	luggage->shared.cells = 1;
	if (!hush)
		say("# %*sexec:\n", 2 * depth, "");
	child = forked(&luggage->shared.cell[0]);
	if (child == 0) {
		shared = &luggage->shared;
		snprintf(words[0], sizeof(words[0]), "%d", fd);
		snprintf(words[1], sizeof(words[1]), "%d", steps);
		execl("/proc/self/exe", "case", words[0], words[1], words[0], (char *)NULL);
		trouble("execve of /proc/self/exe");
	}
	close(fd);
	if (waitpid(child, &status, 0) != child)
		trouble("waitpid");
	for (size_t at = 0; at < luggage->shared.used; at += 1024)
		say("%.1024s", luggage->shared.text + at);
	memcpy(shared->reason, luggage->shared.reason, sizeof(shared->reason));
	judge_child(status, &luggage->shared.cell[0]);
	munmap(luggage, sizeof(*luggage));
}

/* Goes on as the fresh image; which steps. */
static int resume(char **words)
{
	int fd = atoi(words[1]);
	struct luggage *luggage = mmap(NULL, sizeof(*luggage), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	close(fd);
	shared = &luggage->shared;
	cell = &shared->cell[0];
	saved = luggage->saved;
	depth = 1;
	return atoi(words[2]);
}

//@ with_sysctl : errno.h fcntl.h stdio.h string.h unistd.h
/* Sets a sysctl; what it was before goes to `old`. */
static void with_sysctl(const char *path, const char *value, char old[256])
{
	int fd = open(path, O_RDWR);
	ssize_t size = fd < 0 ? -1 : read(fd, old ? old : (char[256]){ 0 }, 255);

	if (!hush)
		say("# %*swrite %s to %s\n", 2 * depth, "", value, path);
	if (old && size >= 0)
		old[size] = 0;
	if (size < 0 || pwrite(fd, value, strlen(value), 0) < 0) {
		say("# %s could not be set: %s\n", path, strerror(errno));
		end(FAILED);
	}
	close(fd);
}
