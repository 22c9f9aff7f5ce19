// Package docs has tests that hold what the project says (pages, commands, documentation comments, examples, how it is installed)
// against what it does.
package docs

import "regexp"

var ruleHead = regexp.MustCompile(`(?m)^\*\*([A-Z]{1,2}[0-9]+)\.\*\*`)

// Rules returns the numbers of the rules that the text of docs/protocol.md has, in order.
func Rules(page []byte) []string {
	var numbers []string
	for _, m := range ruleHead.FindAllSubmatch(page, -1) {
		numbers = append(numbers, string(m[1]))
	}
	return numbers
}
