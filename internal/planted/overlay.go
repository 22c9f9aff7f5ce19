package planted

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Plant writes the files of bugs, as they are with all their edits, into dir, and returns the name of a file for the
// -overlay flag of the go command. root is the folder of the module. An edit whose text does not occur exactly once
// is an error.
func Plant(root, dir string, bugs ...Bug) (overlay string, err error) {
	files := map[string]string{} // content, by name from the root
	for _, b := range bugs {
		for _, e := range b.Edits {
			if err := e.apply(root, files); err != nil {
				return "", fmt.Errorf("planted bug %q: %w", b.Name, err)
			}
		}
	}
	replace := map[string]string{}
	for name, text := range files {
		to := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(root, filepath.FromSlash(name))] = to
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, list, 0o600)
}

func (e Edit) apply(root string, files map[string]string) error {
	text, known := files[e.File]
	if !known {
		content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(e.File)))
		if err != nil {
			return err
		}
		text = string(content)
	}
	if n := strings.Count(text, e.Old); n != 1 {
		return fmt.Errorf("%s: the text to change occurs %d times: %q", e.File, n, e.Old)
	}
	files[e.File] = strings.Replace(text, e.Old, e.New, 1)
	return nil
}
