// SPDX-License-Identifier: MIT OR Apache-2.0
/* Freezes a map twice and counts on EBUSY the second time, as programs did that were written for Linux 5.2 to 6.1. */
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static long sys_bpf(int cmd, union bpf_attr *attr)
{
	return syscall(__NR_bpf, cmd, attr, sizeof(*attr));
}

int main(void)
{
	union bpf_attr attr = { .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8, .max_entries = 4 };
	int map;

	strcpy(attr.map_name, "limits");
	map = sys_bpf(BPF_MAP_CREATE, &attr);
	memset(&attr, 0, sizeof(attr));
	attr.map_fd = map;
	if (map < 0 || sys_bpf(BPF_MAP_FREEZE, &attr)) {
		perror("no frozen map");
		return 2;
	}
	if (sys_bpf(BPF_MAP_FREEZE, &attr) && errno == EBUSY)
		return 0;
	printf("the second BPF_MAP_FREEZE: %s\n", strerror(errno));
	return 1;
}
