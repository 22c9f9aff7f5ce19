package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every test that the pages of the shard build name is there.
func TestTestsThatPagesNameAreThere(t *testing.T) {
	there := map[string]bool{}
	files, err := filepath.Glob("../../examples/shards/internal/*/*_test.go")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(text, -1) {
			there[string(m[1])] = true
		}
	}
	for _, page := range []string{"../../docs/shards.md", "../../docs/shards-reliability.md"} {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		named := regexp.MustCompile("`(Test\\w+)`").FindAllSubmatch(text, -1)
		require.NotEmpty(t, named, page)
		for _, m := range named {
			require.True(t, there[string(m[1])], "%s names %s", page, m[1])
		}
	}
}
