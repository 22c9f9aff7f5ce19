package docs_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a page shows below a command is what that prints, where it takes no longer than compiling it and does not depend on the machine. The examples'
// own tests hold further pages against their programs, in fake time.
func TestPagesShowWhatCommandsPrint(t *testing.T) {
	if testing.Short() {
		t.Skip("links programs")
	}
	for _, shown := range []struct {
		page, command string
		anyOrder      bool
	}{
		{page: "examples/wordcount/README.md", command: "go run ./examples/wordcount -top 3"},
		{page: "examples/twolimits/README.md", command: "go run ./examples/twolimits", anyOrder: true},
		{page: "examples/broadcaster/README.md", command: "go run ./examples/broadcaster"},
		{page: "docs/shards.md", command: "go run ./examples/shards simulate -children"},
	} {
		t.Run(shown.command, func(t *testing.T) {
			require.Contains(t, commands(t, filepath.Join(root, shown.page)), shown.command)
			got := goTool(t, root, strings.Fields(shown.command)[1:]...)
			page, err := os.ReadFile(filepath.Join(root, shown.page))
			require.NoError(t, err)
			_, after, _ := strings.Cut(string(page), shown.command+"\n")
			_, after, _ = strings.Cut(strings.TrimPrefix(after, "```"), "```\n")
			want, _, found := strings.Cut(after, "```")
			require.True(t, found, "%s shows no output below the command", shown.page)
			require.Equal(t, lines(want, shown.anyOrder), lines(got, shown.anyOrder))
		})
	}
}

func lines(text string, sorted bool) []string {
	list := strings.Split(strings.TrimSpace(text), "\n")
	if sorted {
		slices.Sort(list)
	}
	return list
}
