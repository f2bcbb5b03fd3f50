package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// forward accepts on the listening socket that it gets as standard input and connects each client to an address.
//
// A socket belongs to the network namespace in which it was made, whoever holds it. The socket is made outside of the
// node's namespace and this process runs inside of it, which makes it a door between the two.
//
//	wharf-node forward 127.0.0.1:6443 <&listener
func forward() {
	if len(os.Args) != 2 {
		fail(fmt.Errorf("usage: forward ADDRESS, with a listening socket as standard input"))
	}
	target := os.Args[1]
	listener, err := net.FileListener(os.Stdin)
	if err != nil {
		fail(fmt.Errorf("standard input is not a listening socket: %w", err))
	}
	for {
		client, err := listener.Accept()
		if err != nil {
			// Running out of file descriptors passes; a closed listener does not, and then every Accept fails at once.
			fmt.Fprintf(os.Stderr, "accept: %v\n", err)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		go serve(client, target)
	}
}

func serve(client net.Conn, target string) {
	defer client.Close()
	server, err := net.DialTimeout("tcp", target, 10*time.Second)
	if err != nil {
		fmt.Fprintf(os.Stderr, "connect to %s: %v\n", target, err)
		return
	}
	defer server.Close()
	var both sync.WaitGroup
	both.Go(func() { pump(server, client) })
	both.Go(func() { pump(client, server) })
	both.Wait()
}

// pump copies one direction and passes on its end, so that a client which has sent everything can still read.
func pump(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}
