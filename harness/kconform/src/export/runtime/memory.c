//@ possible_cpus : stdio.h
static int possible_cpus(void)
{
	static int cpus;
	int first, last;
	char mark;
	FILE *file;

	if (cpus)
		return cpus;
	file = fopen("/sys/devices/system/cpu/possible", "r");
	while (file && fscanf(file, "%d", &first) == 1) {
		last = first;
		mark = fgetc(file);
		if (mark == '-' && fscanf(file, "%d", &last) == 1)
			mark = fgetc(file);
		cpus += last - first + 1;
	}
	if (file)
		fclose(file);
	return cpus = cpus ? cpus : 1;
}

//@ zeroed MEMORY COPY : string.h
/* Zeroed memory, the same whenever a step runs again. Behind it is a page of nobody's: a kernel may write too much. */
struct place {
	__u8 *from;
	size_t room;
};
static void *zeroed(struct place *place, size_t size)
{
	static __u8 pool[64 << 20] __attribute__((aligned(4096)));
	static size_t used;
	size_t room = ((size + 4095) & ~4095UL) + 4096;

	if (place->room < room) {
		size_t at = __atomic_fetch_add(&used, room, __ATOMIC_RELAXED);

		if (at + room > sizeof(pool))
			trouble("memory for buffers");
		*place = (struct place){ pool + at, room };
	}
	return memset(place->from, 0, size);
}
#define MEMORY(size) ({ static struct place place; zeroed(&place, size); })
#define COPY(...) memcpy(MEMORY(sizeof(__VA_ARGS__)), __VA_ARGS__, sizeof(__VA_ARGS__))

//@ set : string.h
/* Writes a number at a place in memory. */
static void set(void *at, int width, __u64 number)
{
	__u8 number1 = number;
	__u16 number2 = number;
	__u32 number4 = number;

	memcpy(at, width == 1 ? (void *)&number1 : width == 2 ? (void *)&number2 : width == 4 ? (void *)&number4 : (void *)&number, width);
}

//@ bytes :
/* Memory that is put together piece by piece. */
struct bytes {
	__u8 *data;
	size_t size;
};

//@ grown : errno.h stdlib.h
/* Makes room for so many more bytes; where they begin. */
static __u8 *grown(struct bytes *to, size_t more)
{
	__u8 *data = realloc(to->data, to->size + more + 1);

	if (!data)
		trouble("realloc");
	to->data = data;
	to->size += more;
	return data + to->size - more;
}

//@ put_bytes : string.h
static void put_bytes(struct bytes *to, const void *from, size_t size)
{
	memcpy(grown(to, size), from, size);
}

//@ put :
static void put(struct bytes *to, int width, __u64 number)
{
	set(grown(to, width), width, number);
}

//@ put_fill : string.h
static void put_fill(struct bytes *to, int byte, size_t size)
{
	memset(grown(to, size), byte, size);
}

//@ put_text : stdarg.h stdio.h
/* Text without its NUL. */
static __attribute__((format(printf, 2, 3))) void put_text(struct bytes *to, const char *format, ...)
{
	char text[4096];
	va_list list;
	int size;

	va_start(list, format);
	size = vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	put_bytes(to, text, size);
}

//@ pad_to :
static void pad_to(struct bytes *to, size_t size)
{
	if (to->size < size)
		put_fill(to, 0, size - to->size);
}

//@ PLACE : stdlib.h string.h
/* Moves what was put together to where the kernel finds it. */
static void *moved(void *to, struct bytes *from)
{
	if (from->size)
		memcpy(to, from->data, from->size);
	free(from->data);
	return from->data = to;
}
#define PLACE(from) moved(MEMORY((from)->size), from)

//@ keep :
static void keep(struct bytes *to, const void *from, size_t size)
{
	to->data = NULL;
	to->size = 0;
	put_bytes(to, from, size);
}

//@ number_at : string.h
/* Memory of 1, 2, 4 or 8 bytes as a number. */
static __u64 number_at(const void *memory, size_t size)
{
	__u64 number = 0;
	__u32 number4;
	__u16 number2;

	if (size == 8)
		memcpy(&number, memory, 8);
	else if (size == 4)
		number = (memcpy(&number4, memory, 4), number4);
	else if (size == 2)
		number = (memcpy(&number2, memory, 2), number2);
	else
		number = *(const __u8 *)memory;
	return number;
}

//@ is_number : string.h
/* Whether memory of a size that is known only now holds a number. */
static int is_number(const void *memory, size_t size, __u64 number)
{
	if (size != 1 && size != 2 && size != 4 && size != 8)
		return 0;
	return number_at(memory, size) == (size == 8 ? number : (number & ((1ULL << 8 * size) - 1)));
}

//@ same : string.h
static int same(const void *memory, size_t size, const void *wanted, size_t length)
{
	return size == length && !memcmp(memory, wanted, length);
}

//@ contains : string.h
static int contains(const void *memory, size_t size, const void *wanted, size_t length)
{
	return memmem(memory, size, wanted, length) != NULL;
}

//@ begins_with : string.h
static int begins_with(const void *memory, size_t size, const void *wanted, size_t length)
{
	return size >= length && !memcmp(memory, wanted, length);
}

//@ is_filled :
static int is_filled(const void *memory, size_t size, int byte, size_t length)
{
	for (size_t i = 0; i < size; i++)
		if (((const __u8 *)memory)[i] != (__u8)byte)
			return 0;
	return size == length;
}

//@ from_to :
static int from_to(__u64 number, __u64 least, __u64 most)
{
	return number >= least && number <= most;
}

//@ signed_from_to :
static int signed_from_to(long long number, long long least, long long most)
{
	return number >= least && number <= most;
}

//@ is_percpu : string.h
/* Whether each slot of `stride` bytes begins with the value of its CPU; the last value is that of all further CPUs. */
static int is_percpu(const __u8 *memory, size_t size, size_t stride, const struct bytes *value, size_t values)
{
	size_t cpus = possible_cpus();

	for (size_t cpu = 0; cpu < cpus && (cpu + 1) * stride <= size; cpu++) {
		const struct bytes *want = &value[cpu < values ? cpu : values - 1];

		if (memcmp(memory + cpu * stride, want->data, want->size))
			return 0;
	}
	return size == cpus * stride;
}

//@ page_size : unistd.h
static long page_size(void)
{
	return sysconf(_SC_PAGESIZE);
}

//@ read_only : sys/mman.h unistd.h
/* Pages of zeros that cannot be written. */
static void *read_only(void)
{
	static void *pages;

	if (!pages)
		pages = mmap(NULL, 16 * sysconf(_SC_PAGESIZE), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return pages;
}

//@ peek poke :
/* Copies memory by plain loads and stores, as wide as the addresses allow. */
#define ACCESS(type, to, from) do { *(volatile type *)(to) = *(volatile type *)(from); } while (0)
static long access_memory(unsigned long to, unsigned long from, unsigned long far, size_t size)
{
	size_t one = size == 1 || size == 2 || size == 4 || size == 8;
	size_t width = one && far % size == 0 ? size : size > 8 && far % 8 == 0 ? 8 : 1;
	size_t at = 0;

	for (; at + width <= size; at += width) {
		if (width == 8)
			ACCESS(__u64, to + at, from + at);
		else if (width == 4)
			ACCESS(__u32, to + at, from + at);
		else if (width == 2)
			ACCESS(__u16, to + at, from + at);
		else
			ACCESS(__u8, to + at, from + at);
	}
	for (; at < size; at++)
		ACCESS(__u8, to + at, from + at);
	return size;
}
#define peek(address, to, size) access_memory((unsigned long)(to), address, address, size)
#define poke(address, from, size) access_memory(address, (unsigned long)(from), address, size)
