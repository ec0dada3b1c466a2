/* refuse ERRNO|kill NUMBER[,NUMBER...] PROGRAM [ARG...]: runs a program under a seccomp filter that refuses these system
 * calls, as those of container engines and of systemd's SystemCallFilter= do. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sock_filter code[64] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	};
	unsigned short length = 1;
	unsigned int action;

	if (argc < 4)
		return 125;
	action = strcmp(argv[1], "kill") ? SECCOMP_RET_ERRNO | atoi(argv[1]) : SECCOMP_RET_KILL_PROCESS;
	for (char *number = strtok(argv[2], ","); number && length < 60; number = strtok(NULL, ",")) {
		struct sock_filter same = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, atoi(number), 0, 1);
		struct sock_filter refused = BPF_STMT(BPF_RET | BPF_K, action);

		code[length++] = same;
		code[length++] = refused;
	}
	code[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);

	struct sock_fprog filter = { .len = length, .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter)) {
		perror("seccomp");
		return 125;
	}
	execvp(argv[3], argv + 3);
	perror(argv[3]);
	return 127;
}
