// purge-uploads does once what CNCF Distribution does every day while it serves: it deletes the upload sessions below a
// storage root that were started before an instant. The server's own timer begins after up to an hour of chance, which
// no test can wait for.
//
//	purge-uploads /var/lib/registry 2026-01-31T12:00:00Z
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/distribution/distribution/v3/registry/storage"
	"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
)

func main() {
	if err := purge(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func purge(arguments []string) error {
	if len(arguments) != 2 {
		return errors.New("usage: purge-uploads ROOT STARTED-BEFORE")
	}
	before, err := time.Parse(time.RFC3339, arguments[1])
	if err != nil {
		return err
	}
	driver, err := filesystem.FromParameters(map[string]any{"rootdirectory": arguments[0]})
	if err != nil {
		return err
	}
	deleted, problems := storage.PurgeUploads(context.Background(), driver, before, true)
	for _, path := range deleted {
		fmt.Println(path)
	}
	return errors.Join(problems...)
}
