package system

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// ReadFile reads a regular file of at most max bytes. Others may write to its folder:
// a FIFO in its place cannot make it wait. Its error leaves out the path, which the
// caller's message has.
func ReadFile(path string, max int64) (_ []byte, err error) {
	// O_NONBLOCK: opening a FIFO returns at once.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, Cause(err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, Cause(err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("expected a regular file, found %s", info.Mode().Type())
	}
	content, err := io.ReadAll(io.LimitReader(file, max+1))
	switch {
	case err != nil:
		return nil, Cause(err)
	case int64(len(content)) > max:
		return nil, fmt.Errorf("expected at most %d bytes, found more", max)
	}
	return content, nil
}

// Cause drops the path of an error.
func Cause(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err
	}
	return err
}
