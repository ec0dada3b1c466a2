//@ compare_kernel KERNEL : stdio.h stdlib.h string.h sys/utsname.h
/* The kernel's version against another, by as many numbers as that has: negative, 0 or positive. */
static int compare_kernel(const int *bound, int count)
{
	struct utsname name;
	int version[4] = { 0 }, debian[4] = { 0 };
	char *word;

	uname(&name);
	sscanf(name.release, "%d.%d.%d", &version[0], &version[1], &version[2]);
	/* Debian's release stays at 6.1.0; the version has the real one. */
	word = strstr(name.version, " Debian ");
	if (word && sscanf(word, " Debian %d.%d.%d", &debian[0], &debian[1], &debian[2]) >= 2
	    && debian[0] == version[0] && debian[1] == version[1])
		version[2] = debian[2];
	for (int i = 0; i < count; i++)
		if (version[i] != bound[i])
			return version[i] < bound[i] ? -1 : 1;
	return 0;
}
#define KERNEL(op, ...) (compare_kernel((int[]){ __VA_ARGS__ }, sizeof((int[]){ __VA_ARGS__ }) / sizeof(int)) op 0)

//@ machine_is : string.h sys/utsname.h
static int machine_is(const char *machine)
{
	struct utsname name;

	return !uname(&name) && !strcmp(name.machine, machine);
}

//@ holds_itself : unistd.h sys/syscall.h linux/capability.h sys/stat.h
/* Whether this process has a capability in the initial user namespace. */
static int holds_itself(int number)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { { 0 }, { 0 } };
	struct stat namespace;

	if (stat("/proc/self/ns/user", &namespace) || namespace.st_ino != 0xeffffffd || syscall(__NR_capget, &header, data))
		return 0;
	return data[number / 32].effective >> number % 32 & 1;
}

//@ capable :
/* As holds_itself(), but that CAP_SYS_ADMIN stands in where the kernel lets it. */
static int capable(int number)
{
	return holds_itself(number) || ((number == 38 || number == 39 || number == 40) && holds_itself(21));
}

//@ config : stdio.h string.h sys/utsname.h
/* Whether the kernel has a CONFIG_ option, as y or m; -1 where its config cannot be known. */
static int config(const char *option)
{
	char command[256], text[4096];
	struct utsname name;
	size_t length = strlen(option);
	int lines = 0, found = 0;
	FILE *file;

	uname(&name);
	snprintf(command, sizeof(command), "zcat /proc/config.gz 2>/dev/null || cat /boot/config-%.60s 2>/dev/null", name.release);
	file = popen(command, "r");
	if (!file)
		return -1;
	for (; fgets(text, sizeof(text), file); lines++)
		if (!strncmp(text, option, length) && text[length] == '=' && (text[length + 1] == 'y' || text[length + 1] == 'm'))
			found = 1;
	pclose(file);
	return lines ? found : -1;
}

//@ read_text : fcntl.h unistd.h errno.h
/* A file's text without the end of its last line; the negative errno otherwise. */
static int read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t length = fd < 0 ? -1 : read(fd, text, size - 1);

	if (length < 0)
		return -errno;
	close(fd);
	while (length && (text[length - 1] == '\n' || text[length - 1] == ' '))
		length--;
	text[length] = 0;
	return length;
}

//@ no_sysctl : errno.h
static int no_sysctl(const char *path)
{
	char text[4096];

	return read_text(path, text, sizeof(text)) == -ENOENT;
}

//@ sysctl_is : stdlib.h string.h
/* Whether a sysctl has a value: the same number, or the same words. */
static int sysctl_is(const char *path, const char *value)
{
	char text[4096], *rest, *behind;
	long long number;

	if (read_text(path, text, sizeof(text)) < 0)
		return 0;
	number = strtoll(text, &rest, 10);
	if (*text && !*rest && number == strtoll(value, &behind, 10) && *value && !*behind)
		return 1;
	for (rest = text; *rest && *value; rest++, value++) {
		size_t blanks = strspn(rest, " \t"), more = strspn(value, " \t");

		if (!blanks != !more || rest[blanks] != value[more])
			return 0;
		rest += blanks;
		value += more;
	}
	return !*rest && !*value;
}

//@ sysctl_from_to : stdlib.h
static int sysctl_from_to(const char *path, long long least, long long most)
{
	char text[4096], *rest;
	long long number;

	if (read_text(path, text, sizeof(text)) < 0)
		return 0;
	number = strtoll(text, &rest, 10);
	return *text && !*rest && number >= least && number <= most;
}

//@ is_compiled : string.h unistd.h sys/syscall.h
/* Whether a program that is loaded is compiled; -1 where that cannot be known. */
static int is_compiled(void)
{
	__u64 insns[2] = { 0xb7, 0x95 };
	struct { __u32 type, count; __u64 insns, license; __u8 rest[24]; } load = { 1, 2, (unsigned long)insns, (unsigned long)"GPL", { 0 } };
	__u32 info[64] = { 0 };
	struct { __u32 fd, size; __u64 info; } ask = { 0, sizeof(info), (unsigned long)info };
	int fd = syscall(__NR_bpf, 5, &load, sizeof(load)), ret;

	if (fd < 0)
		return -1;
	ask.fd = fd;
	ret = syscall(__NR_bpf, 15, &ask, sizeof(ask));
	close(fd);
	return ret ? -1 : info[4] ? 1 : capable(39) ? 0 : -1;
}

//@ read_security : errno.h sched.h stdio.h sys/mount.h unistd.h
/* A file of securityfs, which this process mounts for itself where it is not. */
static int read_security(const char *name, char *text, size_t size)
{
	int mounted = access("/sys/kernel/security/lsm", F_OK) && !unshare(CLONE_NEWNS)
		&& !mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL)
		&& !mount("security", "/sys/kernel/security", "securityfs", 0, NULL);
	char path[128];
	int length;

	snprintf(path, sizeof(path), "/sys/kernel/security/%s", name);
	length = read_text(path, text, size);
	if (mounted)
		umount2("/sys/kernel/security", MNT_DETACH);
	return length;
}

//@ lockdown_is : string.h errno.h
/* Whether the kernel is locked down at this level. */
static int lockdown_is(const char *level)
{
	char text[256], wanted[64];
	int length = read_security("lockdown", text, sizeof(text));

	if (length == -ENOENT && read_security("lsm", wanted, sizeof(wanted)) >= 0)
		return !strcmp(level, "none");
	snprintf(wanted, sizeof(wanted), "[%s]", level);
	return length > 0 && strstr(text, wanted);
}

//@ lsm_is_active : string.h stdio.h
/* Whether a security module is active; -1 where that cannot be known. */
static int lsm_is_active(const char *name)
{
	char text[1024], list[1026], wanted[64];

	if (read_security("lsm", text, sizeof(text)) < 0)
		return -1;
	snprintf(list, sizeof(list), ",%s,", text);
	snprintf(wanted, sizeof(wanted), ",%s,", name);
	return !!strstr(list, wanted);
}

//@ is_booted_with : string.h
/* Whether the kernel's command line has an option; -1 where that cannot be known. */
static int is_booted_with(const char *option)
{
	char text[4096], *rest = text, *word;
	size_t length = strlen(option);

	if (read_text("/proc/cmdline", text, sizeof(text)) < 0)
		return -1;
	while ((word = strsep(&rest, " ")) && strcmp(word, "--")) {
		for (char *at = word; *at && *at != '='; at++)
			if (*at == '-')
				*at = '_';
		if (!strncmp(word, option, length) && (!word[length] || (word[length] == '=' && !strchr(option, '='))))
			return 1;
	}
	return 0;
}
