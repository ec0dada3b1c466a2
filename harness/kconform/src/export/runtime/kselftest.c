//@ skip away why : setjmp.h
/* Where a test goes on that is skipped, and why it is. */
static jmp_buf away;
static const char *why;

static __attribute__((noreturn)) void skip(const char *reason)
{
	why = reason;
	longjmp(away, 1);
}

//@ conclude :
/* 0 if the kernel conforms. */
static int conclude(int state)
{
	if (state == SKIPPED)
		skip(shared->reason);
	return state == FAILED;
}

//@ start : sys/mman.h
static void start(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		skip("mmap failed");
}
