package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	testFunc  = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark|Example)\w*)\(`)
	testNamed = regexp.MustCompile("`(?:\\w+\\.)?((?:Test|Fuzz|Benchmark|Example)[A-Z]\\w*)`")
)

// testsBelow returns the names of tests in the test files below a folder.
func testsBelow(t *testing.T, folder string) map[string]bool {
	there := map[string]bool{}
	require.NoError(t, filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range testFunc.FindAllSubmatch(text, -1) {
			there[string(m[1])] = true
		}
		return err
	}))
	return there
}

// Every test that a page names is there. (TestDispatcher and FuzzDispatcher are functions of stagetest that look like one.)
func TestTestsThatPagesNameAreThere(t *testing.T) {
	there, found := testsBelow(t, root), map[string]int{}
	require.Greater(t, len(there), 500)
	there["TestDispatcher"], there["FuzzDispatcher"] = true, true
	for _, page := range pages(t) {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, m := range testNamed.FindAllSubmatch(text, -1) {
			require.True(t, there[string(m[1])], "%s names %s", page, m[1])
			found[page]++
		}
	}
	for _, page := range []string{"shards.md", "shards-reliability.md", "performance.md", "reliability.md"} {
		require.NotZero(t, found[filepath.Join(root, "docs", page)], page)
	}
}
