package http3

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	// By code; nil for codes that are never sent.
	conns   map[code]prometheus.Counter
	streams map[code]prometheus.Counter
}

// connCodes are those that we close connections with, streamCodes those
// that we reset streams with.
var (
	connCodes = []code{
		codeNoError, codeGeneralProtocolError, codeInternalError, codeStreamCreationError, codeClosedCriticalStream,
		codeFrameUnexpected, codeFrameError, codeExcessiveLoad, codeIDError, codeSettingsError, codeMissingSettings,
		codeDecompressionFailed, codeEncoderStreamError, codeDecoderStreamError,
	}
	streamCodes = []code{
		codeInternalError, codeExcessiveLoad, codeRequestRejected, codeRequestCancelled, codeRequestIncomplete, codeMessageError,
	}
)

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	conns := f.NewCounterVec(prometheus.CounterOpts{
		Name: "landfall_http3_connections_closed_total",
		Help: "HTTP/3 connections that this node closed, by error code.",
	}, []string{"code"})
	streams := f.NewCounterVec(prometheus.CounterOpts{
		Name: "landfall_http3_streams_reset_total",
		Help: "HTTP/3 request streams that this node reset, by error code.",
	}, []string{"code"})
	m := &metrics{conns: map[code]prometheus.Counter{}, streams: map[code]prometheus.Counter{}}
	for _, c := range connCodes {
		m.conns[c] = conns.WithLabelValues(c.String())
	}
	for _, c := range streamCodes {
		m.streams[c] = streams.WithLabelValues(c.String())
	}
	return m
}

func count(by map[code]prometheus.Counter, c code) {
	if n := by[c]; n != nil {
		n.Inc()
	}
}
