package program

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// hideMemory keeps tokens and credentials out of core dumps, whatever the limits,
// kernel.core_pattern, and GOTRACEBACK say, and away from other processes of the same
// user: only root can read the process's memory and environment, or debug it
// (PR_SET_DUMPABLE in prctl(2), and ptrace(2)).
func hideMemory() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("the memory, which holds secrets, can get into a core dump: %w", err)
	}
	return nil
}
