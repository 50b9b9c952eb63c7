package qemu

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNoVirtiofsd is wrapped when there is no virtiofsd.
var ErrNoVirtiofsd = errors.New("virtiofsd is not installed")

// FindVirtiofsd returns the path of the daemon that gives a machine files of the host by virtiofs. Distributions keep it away
// from PATH.
func FindVirtiofsd() (string, error) {
	for _, name := range []string{"virtiofsd", "/usr/libexec/virtiofsd", "/usr/lib/virtiofsd", "/usr/lib/qemu/virtiofsd"} {
		if p, err := exec.LookPath(name); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("%w: install the package virtiofsd, or qemu-system-common of Debian 12 and Ubuntu 22.04", ErrNoVirtiofsd)
}

// Share is a running virtiofsd that gives one machine a folder of the host. All that can be reached through it is read-only,
// whatever the guest or the daemon does: the daemon sees a copy of the tree of mounts in a namespace of its own, in which
// nothing can be written, no device opened and no program run. It ends when the machine does, or this process.
type Share struct {
	cmd    *exec.Cmd
	socket *os.File // QEMU's end
	stderr *tailWriter
	done   chan struct{}
	err    error // set before done is closed
}

// StartShare starts the daemon program, as [FindVirtiofsd] gives it, for a folder. It needs Linux 5.12 on the host, and, of a
// user that is not root, the right to make user namespaces. The caller must call [Share.Stop].
func StartShare(program, dir string) (*Share, error) {
	args, err := daemonArgs(program)
	if err != nil {
		return nil, err
	}
	listener, socket, err := privateSocket()
	if err != nil {
		return nil, fmt.Errorf("socket for %s: %w", program, err)
	}
	defer listener.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = append([]string{shareStage, dir, program}, args...)
	s := &Share{cmd: cmd, socket: socket, stderr: &tailWriter{}, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = s.stderr, s.stderr, 5*time.Second
	cmd.ExtraFiles = []*os.File{listener}
	// The daemon is the first process of its namespace, so that none of its children outlives it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID}
	if uid := os.Geteuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	started := make(chan error)
	go s.run(started)
	if err := <-started; err != nil {
		socket.Close()
		return nil, fmt.Errorf("start %s in namespaces of its own: %w; where they are not allowed, use a kernel with 9p", program, err)
	}
	return s, nil
}

// run has a thread for itself for the same reason as [VM.run].
func (s *Share) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := s.cmd.Start(); err != nil {
		started <- err
		return
	}
	close(started)
	if err := s.cmd.Wait(); err != nil {
		s.err = fmt.Errorf("%s: %w: %s", s.cmd.Args[2], err, strings.TrimSpace(s.stderr.String()))
	}
	close(s.done)
}

// Pass gives the command of a QEMU its end of the connection.
func (s *Share) Pass(cmd *exec.Cmd) { pass(cmd, shareFD, s.socket) }

// pass makes f the descriptor fd of a command.
func pass(cmd *exec.Cmd, fd int, f *os.File) {
	i := fd - portFD // of ExtraFiles
	for len(cmd.ExtraFiles) <= i {
		cmd.ExtraFiles = append(cmd.ExtraFiles, nil)
	}
	cmd.ExtraFiles[i] = f
}

// Stop ends the daemon and waits for its end. The error is that of a daemon that failed before. It may be called more than once.
func (s *Share) Stop() error {
	s.socket.Close()
	select {
	case <-s.done:
		return s.err
	default:
	}
	s.cmd.Process.Kill()
	<-s.done
	return nil
}

// privateSocket returns a socket that listens and one that is connected to it; nobody else can be.
func privateSocket() (listener, socket *os.File, err error) {
	dir, err := os.MkdirTemp("", "bpfcov-")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unix"})
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	c, err := net.DialUnix("unix", nil, l.Addr().(*net.UnixAddr))
	if err != nil {
		return nil, nil, err
	}
	defer c.Close()
	if listener, err = l.File(); err != nil {
		return nil, nil, err
	}
	if socket, err = c.File(); err != nil {
		listener.Close()
		return nil, nil, err
	}
	return listener, socket, nil
}

// droppedCaps are the capabilities that virtiofsd would keep for what a guest that only reads never asks for. It needs
// CAP_FOWNER, because an overlay opens files with O_NOATIME.
const droppedCaps = "-chown:-fsetid:-setgid:-setuid:-mknod:-setfcap"

// daemonArgs are the daemon's arguments; its listening socket is descriptor 3. There are two daemons of this name: that of
// QEMU 5 to 7, and the one in Rust that followed it. Both end when QEMU closes the connection.
func daemonArgs(program string) ([]string, error) {
	help, err := exec.Command(program, "--help").CombinedOutput()
	switch rust := bytes.Contains(help, []byte("--shared-dir")); {
	case !rust && os.Geteuid() != 0:
		// It cannot give up the user's groups in a user namespace, and passes on what only a file's owner may ask for.
		return nil, fmt.Errorf("%s, which came with QEMU before 8, works for root only: run bpfcov as root, or install the virtiofsd that is written in Rust", program)
	case err != nil:
		return nil, fmt.Errorf("%s --help: %w: %s", program, err, bytes.TrimSpace(help))
	case !rust:
		return []string{"-f", "--fd=3", "--rlimit-nofile=0", "-o", "source=" + shareMount, "-o", "cache=always", "-o", "log_level=err", "-o", "modcaps=" + droppedCaps}, nil
	}
	args := []string{
		"--fd=3", "--rlimit-nofile=0", "--shared-dir=" + shareMount, "--cache=always", "--log-level=error", "--modcaps=" + droppedCaps,
		// An overlay does not look into the mounts of what lies below it.
		"--no-announce-submounts",
	}
	if bytes.Contains(help, []byte("--readonly")) { // from 1.13 on
		args = append(args, "--readonly")
	}
	return args, nil
}

const (
	// shareStage is the name by which this program, whichever it is, knows that it is to become a daemon.
	shareStage = "bpfcov-share"
	// shareMount is where the daemon finds the tree. Only the daemon sees it, which needs nothing of what else is there.
	shareMount = "/sys"
)

func init() {
	if os.Args[0] == shareStage && len(os.Args) > 2 {
		fmt.Fprintln(os.Stderr, becomeDaemon(os.Args[1], os.Args[2:]))
		os.Exit(1)
	}
}

// becomeDaemon makes a read-only copy of the tree at dir, mounts below it included, and becomes the daemon. It is called in a
// mount namespace of its own, and returns only when it fails.
func becomeDaemon(dir string, args []string) error {
	tree, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return fmt.Errorf("copy the mounts of %s: %w", dir, err)
	}
	err = unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{
		Attr_set:    unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC,
		Propagation: unix.MS_PRIVATE,
	})
	if err == unix.ENOSYS {
		return errors.New("virtiofs needs Linux 5.12 on the host, for mounts that are read-only in all their depth")
	} else if err != nil {
		return fmt.Errorf("make a copy of the mounts of %s read-only: %w", dir, err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, shareMount, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount the copy: %w", err)
	}
	// It holds a descriptor of each file that the guest knows.
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err == nil {
		limit.Cur = limit.Max
		syscall.Setrlimit(syscall.RLIMIT_NOFILE, (*syscall.Rlimit)(&limit))
	}
	return fmt.Errorf("start %s: %w", args[0], syscall.Exec(args[0], args, os.Environ()))
}
