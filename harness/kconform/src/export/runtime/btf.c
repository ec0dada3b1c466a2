//@ btf_lacks : stdio.h stdlib.h
/* Ends the test: the case speaks of a type that the kernel does not have. */
static __attribute__((noreturn)) void btf_lacks(const char *what)
{
	if (cell) {
		snprintf(shared->reason, sizeof(shared->reason), "needs %s in the kernel's BTF", what);
		end(SKIPPED);
	}
	printf("ok 1 %s # SKIP needs %s in the kernel's BTF\n", CASE, what);
	exit(4);
}

//@ btf_type : fcntl.h stdio.h stdlib.h string.h unistd.h
/* The kernel's own types (Documentation/bpf/btf.rst). */
struct btf_type_ {
	__u32 name, info, size;
	__u32 rest[];
};
static const char *btf_strings;
static __u32 *btf_words, btf_count, *btf_starts;

static void btf_read(void)
{
	int fd = open("/sys/kernel/btf/vmlinux", O_RDONLY);
	__u32 *file = malloc(64 << 20), at = 0, words;
	size_t size = 0;
	ssize_t more;

	while (fd >= 0 && file && (more = read(fd, (char *)file + size, (64 << 20) - size)) > 0)
		size += more;
	if (fd >= 0)
		close(fd);
	if (size < 24 || (file[0] & 0xffff) != 0xeb9f)
		btf_lacks("the kernel's BTF (/sys/kernel/btf/vmlinux)");
	btf_words = file + (file[1] + file[2]) / 4;
	words = file[3] / 4;
	btf_strings = (char *)file + file[1] + file[4];
	btf_starts = malloc(words * sizeof(__u32));
	while (at < words) {
		struct btf_type_ *type = (void *)(btf_words + at);
		__u32 kind = type->info >> 24 & 31, vlen = type->info & 0xffff;

		btf_starts[btf_count++] = at;
		at += 3;
		if (kind == 1 || kind == 14 || kind == 17)
			at += 1;
		else if (kind == 3)
			at += 3;
		else if (kind == 4 || kind == 5 || kind == 15 || kind == 19)
			at += 3 * vlen;
		else if (kind == 6 || kind == 13)
			at += 2 * vlen;
	}
}

static struct btf_type_ *btf_type(__u32 id)
{
	return (void *)(btf_words + btf_starts[id - 1]);
}

//@ btf_id :
/* The id of the first type of that kind and name. */
static __u32 btf_id(int kind, const char *name)
{
	if (!btf_words)
		btf_read();
	for (__u32 id = 1; id <= btf_count; id++)
		if ((int)(btf_type(id)->info >> 24 & 31) == kind && !strcmp(btf_strings + btf_type(id)->name, name))
			return id;
	btf_lacks(name);
}

//@ btf_size :
static __u32 btf_size(int kind, const char *name)
{
	__u32 id = btf_id(kind, name);

	return btf_type(id)->size;
}

//@ btf_index :
/* Which of a type's own members it is. */
static __u32 btf_index(int kind, const char *name, const char *member)
{
	__u32 id = btf_id(kind, name);
	struct btf_type_ *type = btf_type(id);

	for (__u32 i = 0; i < (type->info & 0xffff); i++)
		if (!strcmp(btf_strings + type->rest[3 * i], member))
			return i;
	btf_lacks(member);
}

//@ btf_offset :
/* Where a member is in a type, in bits; unnamed structures are looked into. Its type goes to *of. */
static long btf_bits(__u32 id, const char *name, size_t length, __u32 *of, int nesting)
{
	struct btf_type_ *type = btf_type(id);
	long bits;

	for (int i = 0; i < 32; i++) {
		__u32 kind = type->info >> 24 & 31;

		if (kind != 8 && kind != 9 && kind != 10 && kind != 18)
			break;
		type = btf_type(type->size);
	}
	if ((type->info >> 24 & 31) != 4 && (type->info >> 24 & 31) != 5)
		return -1;
	for (int unnamed = 0; unnamed < 2; unnamed++) {
		for (__u32 i = 0; i < (type->info & 0xffff); i++) {
			const char *own = btf_strings + type->rest[3 * i];
			__u32 offset = type->rest[3 * i + 2] & (type->info >> 31 ? 0xffffff : 0xffffffff);

			*of = type->rest[3 * i + 1];
			if (!unnamed && strlen(own) == length && !memcmp(own, name, length))
				return offset;
			if (unnamed && !*own && nesting < 32) {
				bits = btf_bits(*of, name, length, of, nesting + 1);
				if (bits >= 0)
					return bits + offset;
			}
		}
	}
	return -1;
}

static __u32 btf_offset(int kind, const char *name, const char *path)
{
	__u32 id = btf_id(kind, name);
	long bits = 0, more;

	for (const char *at = path; *at; at += strcspn(at, "."), at += *at == '.') {
		more = btf_bits(id, at, strcspn(at, "."), &id, 0);
		if (more < 0)
			btf_lacks(path);
		bits += more;
	}
	if (bits % 8)
		btf_lacks(path);
	return bits / 8;
}
