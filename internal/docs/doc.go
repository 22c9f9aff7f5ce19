// Package docs holds no code: its tests hold what the project says (pages, commands, documentation comments, examples, how it is installed)
// against what it does.
package docs
