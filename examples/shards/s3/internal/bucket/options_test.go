package bucket

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRoots(t *testing.T) {
	for root, want := range map[string][2]string{
		"s3://bucket":            {"bucket", ""},
		"s3://bucket/":           {"bucket", ""},
		"s3://bucket/a":          {"bucket", "a"},
		"s3://bucket/a/b c%20?/": {"bucket", "a/b c%20?"},
	} {
		bucket, prefix, err := parseRoot(root)
		require.NoError(t, err)
		require.Equal(t, want, [2]string{bucket, prefix}, root)
	}
	for _, root := range []string{"s3://", "s3:///a", "bucket/a", "s3://-b-/a", "s3://a"} {
		_, _, err := parseRoot(root)
		require.ErrorContains(t, err, root)
	}
}

func TestEndpoints(t *testing.T) {
	for _, endpoint := range []string{"http://localhost:7070", "https://s3.example.org", "https://s3.example.org/"} {
		_, err := Open(Options{Endpoint: endpoint, Bucket: "bucket"})
		require.NoError(t, err)
	}
	for _, endpoint := range []string{"", "localhost:7070", "ftp://host", "http://", "http://host/path", "http://host?x", ":"} {
		_, err := Open(Options{Endpoint: endpoint, Bucket: "bucket"})
		require.ErrorContains(t, err, "endpoint", endpoint)
	}
	_, err := Open(Options{Endpoint: "http://user:secret@host", Bucket: "bucket"})
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret")
}
