package main

import (
	"context"
	"fmt"
	"os"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/snapshot"
	"go.uber.org/zap"
)

// saveSnapshot writes a snapshot of a running etcd to a file, as `etcdctl snapshot save` does.
//
//	wharf-node etcd-save http://127.0.0.1:2379 /path/to/file
func saveSnapshot() {
	if len(os.Args) != 3 {
		fail(fmt.Errorf("usage: etcd-save ENDPOINT FILE"))
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	config := clientv3.Config{Endpoints: os.Args[1:2], DialTimeout: 5 * time.Second}
	if _, err := snapshot.SaveWithVersion(ctx, zap.NewNop(), config, os.Args[2]); err != nil {
		fail(fmt.Errorf("save a snapshot of %s: %w", os.Args[1], err))
	}
}
