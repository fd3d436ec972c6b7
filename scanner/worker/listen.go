package worker

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// inherited begins an address that is no address but the number of a listening
// socket that whoever started the worker handed down, as in fd://3.
const inherited = "fd://"

// Unix begins the path of a socket: unix:///run/imagegate/scanner.sock.
const Unix = "unix://"

// listen opens the address of the API, or takes over the inherited socket.
func listen(address string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(address, Unix); ok {
		return listenUnix(path)
	}
	if !strings.HasPrefix(address, inherited) {
		return net.Listen("tcp", address) //nolint:noctx // once, at start
	}
	fd, err := descriptor(address)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(fd, address)
	if file == nil {
		return nil, fmt.Errorf("%s is not open", address)
	}
	defer func() { _ = file.Close() }() // the listener has its own copy
	l, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("%s is not a listening socket: %w", address, err)
	}
	return l, nil
}

// checkListen says what is wrong with an address.
func checkListen(address string) error {
	if strings.HasPrefix(address, inherited) {
		_, err := descriptor(address)
		return err
	}
	if path, ok := strings.CutPrefix(address, Unix); ok {
		if !filepath.IsAbs(path) {
			return fmt.Errorf("%q is not unix:// and the whole path of a socket", address)
		}
		return nil
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return fmt.Errorf("%q is neither host:port nor a socket, unix:///path or fd://3", address)
	}
	return nil
}

func descriptor(address string) (uintptr, error) {
	const standard = 3 // input, output and errors
	n, err := strconv.ParseUint(strings.TrimPrefix(address, inherited), 10, 16)
	if err != nil || n < standard {
		return 0, fmt.Errorf("%q is not the number of an inherited socket, fd://3 or above", address)
	}
	return uintptr(n), nil
}
