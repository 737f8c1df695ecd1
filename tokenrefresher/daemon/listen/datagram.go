package listen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
)

// Datagrams opens a unix socket for datagrams at path. Mode and group are as for
// Listen.
func Datagrams(ctx context.Context, path string, mode os.FileMode, group string) (net.PacketConn, error) {
	if err := removeDead(ctx, "unixgram", path); err != nil {
		return nil, fmt.Errorf("listening on %s: %w", path, err)
	}
	conn, err := new(net.ListenConfig).ListenPacket(ctx, "unixgram", path)
	if err != nil {
		return nil, err
	}
	if err := admit(path, mode, group); err != nil {
		return nil, errors.Join(fmt.Errorf("listening on %s: %w", path, err), conn.Close())
	}
	return conn, nil
}
