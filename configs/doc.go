// Package configs is what operators and customers write: the Go schema
// of the node file and of the site document, how they are read, checked
// and filled with defaults, and the JSON Schemas and the reference page
// that describe them. One set of struct tags feeds all of these.
//
// It opens no socket, resolves no name and starts nothing. Nothing but
// the command imports it: each part has a Config of its own, and the
// command translates.
package configs

//go:generate go test -run ^TestGenerated$ . -update
