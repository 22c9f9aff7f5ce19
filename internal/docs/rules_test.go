package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/go-genstage/genstage/internal/docs"
	"github.com/stretchr/testify/require"
)

var (
	ruleNumber = regexp.MustCompile(`[A-Z]{1,2}[0-9]+`)
	// ruleNamed is how pages, comments and messages name rules: after the word, between parentheses, in a cell of a table, in a call of fail.
	ruleNamed = regexp.MustCompile(`(?:\b[Rr]ules? |\(|\| |fail\(")([A-Z]{1,2}[0-9]+(?:(?:, | and | to |, but )[A-Z]{1,2}[0-9]+)*)(?: of|\)| \||"|[ ,.:;])`)
)

// rulesOf returns the numbers of the rules of docs/protocol.md.
func rulesOf(t *testing.T) map[string]bool {
	page, err := os.ReadFile(filepath.Join(root, "docs", "protocol.md"))
	require.NoError(t, err)
	rules := map[string]bool{}
	for _, number := range docs.Rules(page) {
		require.False(t, rules[number], "%s twice", number)
		rules[number] = true
	}
	require.Greater(t, len(rules), 100)
	return rules
}

// namedRules returns the rules that a text names. Other lists count from T and W (tests, benchmarks), and Reactive Streams from R1.1.
func namedRules(text string) []string {
	var list []string
	for _, m := range ruleNamed.FindAllStringSubmatch(text, -1) {
		for _, number := range ruleNumber.FindAllString(m[1], -1) {
			if number[0] != 'T' && number[0] != 'W' {
				list = append(list, number)
			}
		}
	}
	return list
}

// A rule that a page, a comment or a message names is one of docs/protocol.md. (That each rule of that page has a test is
// internal/catalogue's.)
func TestRulesThatAreNamedAreThere(t *testing.T) {
	rules, found := rulesOf(t), 0
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "catalogue"):
			return filepath.SkipDir
		case !strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, ".md") || strings.HasSuffix(path, "rules_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		for _, number := range namedRules(string(text)) {
			require.True(t, rules[number], "%s names the rule %s: docs/protocol.md has none of that number", path, number)
			found++
		}
		return err
	}))
	require.Greater(t, found, 100)
	require.Equal(t, []string{"D1", "D7", "R2", "A2", "A7", "X3"}, namedRules(`see rules D1 to D7 (R2) | A2, A7 | "T20" fail("X3", (T4) (W7)`))
}
