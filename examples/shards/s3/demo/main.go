// Command demo is the shard build over S3 for a machine without a bucket. It starts a real S3 server in this process, over the
// folder shards-s3-demo in the current one, and has the program generate a store in a bucket, build it over the network, with 100 ms
// for each object, and verify the result. Run again, it lets a week pass and builds what is new. It prints the report, and what the server saw.
//
//	demo [-shards N] [-serve]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/go-genstage/genstage/examples/shards/internal/command"
	"github.com/go-genstage/genstage/examples/shards/s3/internal/bucket"
	"github.com/go-genstage/genstage/examples/shards/s3/internal/gateway"
)

const (
	folder = "shards-s3-demo"
	name   = "snapshots" // of the bucket

	latency = 100 * time.Millisecond // of an object, as a store has that is not in this process
)

func main() {
	shards := flag.Int("shards", 30, "shards to generate, the first time")
	serve := flag.Bool("serve", false, "afterwards go on serving, until an interrupt")
	flag.Parse()
	code, err := run(*shards, *serve)
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		code = 1
	}
	os.Exit(code)
}

// run returns the exit code of the subcommand that failed, if one has.
func run(shards int, serve bool) (code int, err error) {
	top, err := filepath.Abs(folder) // before the server changes the working directory
	if err != nil {
		return 0, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	server, err := gateway.Start(context.Background(), filepath.Join(top, "server"))
	if err != nil {
		return 0, err
	}
	defer func() {
		if closeErr := server.Close(); err == nil {
			err = closeErr
		}
	}()
	if err := server.MakeBucket(name); err != nil {
		return 0, err
	}
	for key, value := range map[string]string{
		"AWS_ENDPOINT_URL_S3": server.URL, "AWS_ACCESS_KEY_ID": gateway.AccessKey, "AWS_SECRET_ACCESS_KEY": gateway.SecretKey,
	} {
		if err := os.Setenv(key, value); err != nil {
			return 0, err
		}
	}
	root, out := "s3://"+name+"/data", filepath.Join(top, "shards")
	generate := []string{"generate", "-root", root, "-shards", fmt.Sprint(shards)}
	if _, err := os.Stat(out); err == nil {
		generate = []string{"generate", "-root", root, "-tick"}
	}
	for _, args := range [][]string{generate, {"build", "-root", root, "-out", out}, {"verify", "-root", root, "-out", out}} {
		server.Take(name)
		server.Delay(name, 0)
		if args[0] == "build" {
			server.Delay(name, latency) // not the others, which take one after the other
		}
		if code := command.Run(args, os.Stdout, os.Stderr, &bucket.Remote{}); code != 0 || ctx.Err() != nil {
			return code, ctx.Err()
		}
		seen := server.Take(name)
		fmt.Printf("%-18s %d objects put, %d listings, %d heads, %d objects got, %d of them at once\n\n",
			args[0]+" at the server", seen.Puts, seen.Lists, seen.Heads, seen.Gets, seen.Most)
	}
	if serve {
		fmt.Printf("AWS_ENDPOINT_URL_S3=%s AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s go run . build -root %s -out %s\n",
			server.URL, gateway.AccessKey, gateway.SecretKey, root, out)
		<-ctx.Done()
	}
	return 0, nil
}
