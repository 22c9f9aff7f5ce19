// Package gateway runs a real S3 server in this process, over a folder: Versity's gateway. It is for tests and the demo; the
// program itself does not link it.
package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

// The only account's keys. The server listens on the loopback interface only.
const (
	AccessKey = "shards"
	SecretKey = "shards-secret"
)

// Gateway is a running server.
type Gateway struct {
	URL string // of the endpoint

	folder string // of the buckets
	watch  *watch
	cancel context.CancelFunc
	ended  chan struct{} // closed when the server has
	err    error         // of the server; written before ended is closed
}

// Start starts the server over a folder, which is made if it is not there, and returns when it takes connections. There can be
// one in a process, and the process's working directory becomes one in the folder: the server is made so. The caller closes it.
func Start(ctx context.Context, folder string) (*Gateway, error) {
	for {
		address, err := freeAddress()
		if err != nil {
			return nil, err
		}
		g, err := start(ctx, folder, address)
		if !errors.Is(err, syscall.EADDRINUSE) { // another process was given the same port in between
			return g, err
		}
	}
}

// start is Start on an address.
func start(ctx context.Context, folder, address string) (*Gateway, error) {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return nil, err
	}
	data, side := filepath.Join(folder, "buckets"), filepath.Join(folder, "attributes")
	for _, dir := range []string{data, side} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return nil, err
		}
	}
	attributes, err := meta.NewSideCar(side) // not every file system has extended attributes
	if err != nil {
		return nil, err
	}
	files, err := posix.New(data, attributes, posix.PosixOpts{SideCarDir: side})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	g := &Gateway{URL: "http://" + address, folder: data, watch: &watch{Backend: files, buckets: map[string]*watched{}}, cancel: cancel, ended: make(chan struct{})}
	mine := "/" + rand.Text() // a path that no other server knows
	go func() {               // ends with Close, or when the server fails; Close waits for it
		defer close(g.ended)
		g.err = embedgw.RunVersityGW(ctx, g.watch, &embedgw.Config{
			RootUserAccess: AccessKey, RootUserSecret: SecretKey, Ports: []string{address}, KeepAlive: true, Quiet: true,
			MaxConnections: 1000, MaxRequests: 1000, MultipartMaxParts: 10_000, HealthPath: mine,
		})
	}()
	if err := g.listening(ctx, mine); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

// freeAddress returns an address that nobody listens on. Another process may take it before the server does.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// listening waits until the server, and not another one at its address, answers.
func (g *Gateway) listening(ctx context.Context, mine string) error {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	for {
		resp, err := client.Get(g.URL + mine)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-g.ended:
			return fmt.Errorf("the S3 server ended: %w", g.err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// MakeBucket makes a bucket, if there is none of that name.
func (g *Gateway) MakeBucket(name string) error {
	return os.MkdirAll(filepath.Join(g.folder, name), 0o777)
}

// Close ends the server and waits for it.
func (g *Gateway) Close() error {
	g.cancel()
	<-g.ended
	return g.err
}
