package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// root is the project's.
const root = "../.."

// codeBlock is Go code in a page, with the file that it is taken from.
var codeBlock = regexp.MustCompile("(?s)(?:<!-- from (\\S+) -->\n)?```go\n(.*?)```")

// exampleFunc becomes main where an Example is shown as a program.
var exampleFunc = regexp.MustCompile(`^func Example\w+\(\) \{$`)

// linesOf returns the lines without indentation and without empty ones at the ends.
func linesOf(text string) []string {
	var lines []string
	for line := range strings.Lines(strings.TrimSpace(text)) {
		line = strings.TrimSpace(line)
		if exampleFunc.MatchString(line) {
			line = "func main() {"
		}
		lines = append(lines, line)
	}
	return lines
}

// stands reports whether the lines of block stand in text, one after the other.
func stands(block, text []string) bool {
	for i := range len(text) - len(block) + 1 {
		if slices.Equal(block, text[i:i+len(block)]) {
			return true
		}
	}
	return false
}

// What a page shows compiles, and does what it says, because it stands in a file that is compiled and tested.
func TestCodeInPagesIsCompiled(t *testing.T) {
	for _, page := range []string{"README.md", "docs/guide.md", "docs/flow.md", "docs/adopting.md"} {
		text, err := os.ReadFile(filepath.Join(root, page))
		require.NoError(t, err)
		blocks := codeBlock.FindAllStringSubmatch(string(text), -1)
		require.NotEmpty(t, blocks, page)
		for _, b := range blocks {
			from, code := b[1], b[2]
			require.NotEmpty(t, from, "%s: no <!-- from FILE --> before\n%s", page, code)
			source, err := os.ReadFile(filepath.Join(root, from))
			require.NoError(t, err, page)
			require.True(t, stands(linesOf(code), linesOf(string(source))), "%s: this does not stand in %s:\n%s", page, from, code)
		}
	}
}

// The first pipeline of README and package documentation is the Example of Run.
func TestFirstPipelineIsTheSameEverywhere(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	first := codeBlock.FindStringSubmatch(string(readme))
	require.Contains(t, first[2], "stage.Run(")
	doc, err := os.ReadFile(filepath.Join(root, "stage", "doc.go"))
	require.NoError(t, err)
	var comment strings.Builder
	for line := range strings.Lines(string(doc)) {
		comment.WriteString(strings.TrimPrefix(line, "//"))
	}
	require.True(t, stands(linesOf(first[2]), linesOf(comment.String())), "doc.go has another one")
}
