package bucket

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/go-genstage/genstage/examples/shards/s3/internal/gateway"
)

var server *gateway.Gateway // that all tests use: there can be one in a process

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "shards-s3-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if server, err = gateway.Start(context.Background(), dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	os.Setenv("AWS_ACCESS_KEY_ID", gateway.AccessKey)
	os.Setenv("AWS_SECRET_ACCESS_KEY", gateway.SecretKey)
	code := m.Run()
	if err := server.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}
