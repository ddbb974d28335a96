// Package exchange is the vocabulary of a request's path: what front
// ends feed in, what the cache and the fillers give back, and the words
// for what became of it. It owns no behaviour beyond its own values, and
// imports nothing of ours, so that every part can speak it.
package exchange
