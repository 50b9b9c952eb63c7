// A test program that uses what a watcher could get in the way of: odd WORD... does each in order and prints
// what came of it. The output must be the same with a watcher and without one.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static long seccomp(unsigned int op, unsigned int flags, void *arg)
{
	return syscall(SYS_seccomp, op, flags, arg);
}

static void check(const char *what, long r)
{
	if (r)
		printf("%s: %s\n", what, strerror(errno));
}

// filter makes one system call have an action, and all others none.
static long filter(int nr, unsigned int action, unsigned int flags)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned int)nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { sizeof(code) / sizeof(code[0]), code };

	return seccomp(SECCOMP_SET_MODE_FILTER, flags, &prog);
}

static int status_of(pid_t pid)
{
	int status = -1;

	while (waitpid(pid, &status, __WALL) < 0 && errno == EINTR)
		;
	return status;
}

// A filter of its own: getppid fails, also behind a fork and an exec.
static void own_filter(void)
{
	long r = filter(SYS_getppid, SECCOMP_RET_ERRNO | ENOMEDIUM, 0);

	long parent = syscall(SYS_getppid);

	printf("filter %ld, getppid %ld %s\n", r, parent, parent < 0 ? strerror(errno) : "");
}

// A listener of its own, which answers a child's getppid with 4711.
static void own_listener(void)
{
	int fd = filter(SYS_getppid, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
	struct seccomp_notif req = {};
	struct seccomp_notif_resp resp = {};
	pid_t pid;

	if (fd < 0) {
		printf("listener: %s\n", strerror(errno));
		fflush(stdout);
		exit(7);
	}
	fflush(stdout);
	if ((pid = fork()) == 0) {
		printf("child's getppid %ld\n", syscall(SYS_getppid));
		fflush(stdout);
		_exit(0);
	}
	if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &req))
		perror("NOTIF_RECV");
	printf("listener: call %s\n", req.data.nr == SYS_getppid ? "getppid" : "of another kind");
	fflush(stdout);
	resp.id = req.id;
	resp.val = 4711;
	if (ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &resp))
		perror("NOTIF_SEND");
	printf("listener: child's status %d\n", status_of(pid));
	close(fd);
}

// As a container runtime with a listener for some other call: the words that follow run below it.
static void below_listener(void)
{
	int status, fd = filter(SYS_getppid, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
	pid_t pid;

	check("listener", fd < 0);
	fflush(stdout);
	if ((pid = fork()) == 0)
		return;
	status = status_of(pid);
	exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

// A tracer of its own child: counts the child's system calls between two stops.
static void own_tracer(void)
{
	int status, calls = 0;
	pid_t pid;

	fflush(stdout);
	if ((pid = fork()) == 0) {
		long r = ptrace(PTRACE_TRACEME, 0, 0, 0);

		if (r) {
			printf("traceme: %s\n", strerror(errno));
			fflush(stdout);
			_exit(9);
		}
		raise(SIGSTOP);
		for (int i = 0; i < 5; i++)
			syscall(SYS_getppid);
		_exit(3);
	}
	status = -1;
	waitpid(pid, &status, 0);
	if (!WIFSTOPPED(status)) {
		printf("tracer: child did not stop: %#x\n", status);
		return;
	}
	ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
	for (;;) {
		ptrace(PTRACE_SYSCALL, pid, 0, 0);
		if (waitpid(pid, &status, 0) < 0 || !WIFSTOPPED(status))
			break;
		calls += WSTOPSIG(status) == (SIGTRAP | 0x80);
	}
	printf("tracer: %d stops, child's status %d\n", calls, WEXITSTATUS(status));
}

static void no_new_privs(void)
{
	printf("no_new_privs %d before,", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	printf(" set %d,", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	printf(" %d after\n", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
}

// Stops and goes on, as a shell's job control does.
static void job(void)
{
	int status;
	pid_t pid;

	fflush(stdout);
	if ((pid = fork()) == 0) {
		raise(SIGSTOP);
		for (;;)
			pause();
	}
	waitpid(pid, &status, WUNTRACED);
	printf("job: stopped %d by %d,", !!WIFSTOPPED(status), WSTOPSIG(status));
	kill(pid, SIGCONT);
	waitpid(pid, &status, WCONTINUED);
	printf(" continued %d\n", !!WIFCONTINUED(status));
	kill(pid, SIGTERM);
	printf("job: ended by %d\n", WTERMSIG(status_of(pid)));
}

// What a container runtime does: namespaces, a root of its own. The words that follow run inside.
static void container(void)
{
	int status;
	pid_t pid;
	char old[] = "/tmp/bpfcov-odd-XXXXXX";

	check("unshare", unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC));
	fflush(stdout);
	if ((pid = fork()) != 0) {
		status = status_of(pid);
		exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	}
	check("private", mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	if (!mkdtemp(old))
		perror("mkdtemp");
	check("bind", mount("/", old, NULL, MS_BIND | MS_REC, NULL));
	check("chdir", chdir(old));
	check("pivot_root", syscall(SYS_pivot_root, ".", "."));
	check("umount", umount2(".", MNT_DETACH));
	check("chdir /", chdir("/"));
	check("proc", mount("proc", "/proc", "proc", 0, NULL));
	check("hostname", sethostname("odd", 3));
	check("rmdir", rmdir(old));
	printf("container: pid %d, parent %d\n", getpid(), getppid());
}

static void user_namespace(void)
{
	char map[64];
	int fd;
	unsigned int uid = geteuid();

	check("unshare user", unshare(CLONE_NEWUSER));
	fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
	snprintf(map, sizeof(map), "0 %u 1", uid);
	if (fd < 0 || write(fd, map, strlen(map)) < 0)
		printf("uid_map: %s\n", strerror(errno));
	close(fd);
	printf("user namespace: uid %d\n", geteuid());
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *word = argv[i];

		if (!strcmp(word, "filter"))
			own_filter();
		else if (!strcmp(word, "listener"))
			own_listener();
		else if (!strcmp(word, "below"))
			below_listener();
		else if (!strcmp(word, "tracer"))
			own_tracer();
		else if (!strcmp(word, "no_new_privs"))
			no_new_privs();
		else if (!strcmp(word, "job"))
			job();
		else if (!strcmp(word, "container"))
			container();
		else if (!strcmp(word, "userns"))
			user_namespace();
		else if (!strcmp(word, "strict")) {
			const char *is;

			fflush(stdout);
			is = prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) ? "strict: no\n" : "strict: set\n";
			// write(2) and exit(2) are two of the calls that are left.
			syscall(SYS_exit, syscall(SYS_write, 1, is, strlen(is)) < 0);
		} else if (!strcmp(word, "exec")) {
			fflush(stdout);
			execv(argv[i + 1], argv + i + 1);
			perror(argv[i + 1]);
			return 1;
		} else {
			fprintf(stderr, "unknown word %s\n", word);
			return 2;
		}
	}
	fflush(stdout);
	return 0;
}
