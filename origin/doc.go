// Package origin fetches from a site's origins: it picks an endpoint,
// connects to it by unicast, passes the request on, and gives the response
// back as it arrives. It owns the connections to endpoints, their health
// and the retries between them. It never caches, never buffers a body
// whole, never follows a redirect, and never connects to an address that
// internal/netguard refuses.
package origin
