package stack

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
)

// module is this project's module path.
const module = "github.com/pullgate/pullgate"

// BinDirEnv is the environment variable with the directory of built programs, the
// same as Options.BinDir.
const BinDirEnv = "PULLGATE_BIN_DIR"

var programs = []string{"authsvc", "tokenrefresher"}

// build builds the programs once per process. It returns open files without names,
// so that nothing has to be removed when the process ends.
var build = sync.OnceValues(func() (built map[string]*os.File, err error) {
	dir, err := os.MkdirTemp("", "pullgate-build-")
	if err != nil {
		return nil, fmt.Errorf("building the programs: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	args := []string{"build", "-o", dir + "/"}
	for _, name := range programs {
		args = append(args, module+"/"+name)
	}
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("go", args...) //nolint:gosec // fixed arguments
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the programs: %w\n%s", err, out)
	}
	built = map[string]*os.File{}
	for _, name := range programs {
		if built[name], err = os.Open(filepath.Join(dir, name)); err != nil {
			return nil, fmt.Errorf("building the programs: %w", err)
		}
	}
	return built, nil
})

// binaries returns the directory with the programs: binDir, the one in the
// environment, or else dir, where it puts them.
func binaries(binDir, dir string) (string, error) {
	if binDir == "" {
		binDir = os.Getenv(BinDirEnv)
	}
	if binDir != "" {
		return filepath.Abs(binDir)
	}
	built, err := build()
	if err != nil {
		return "", err
	}
	for name, file := range built {
		if err := copyProgram(file, filepath.Join(dir, name)); err != nil {
			return "", fmt.Errorf("copying %s to the stack's directory: %w", name, err)
		}
	}
	return dir, nil
}

// copyProgram holds the fork lock: a child forked while the file is open for
// writing would have it open too, and the kernel would refuse to run it ("text
// file busy", golang.org/issue/22315).
func copyProgram(from *os.File, to string) (err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	info, err := from.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o700) //nolint:gosec // it must be executable
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, io.NewSectionReader(from, 0, info.Size()))
	return err
}

// moduleRoot is the directory of this project's go.mod, at or above the working
// directory.
func moduleRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("looking for the root of the repository: %w", err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "nginx", "stack", "build.go")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("looking for the root of the repository: %s is not inside it; run this inside the repository", start)
		}
	}
}

// tool finds a program from a Debian package, even if /usr/sbin is not on PATH.
func tool(name, pkg string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/sbin"} {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed; as root: apt-get install %s", name, pkg)
}
