//go:build linux

package wire

import (
	"fmt"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// BenchmarkSendSize writes gathered ciphertext to a reader over loopback, a
// call for so many bytes each, and reports the CPU time of the thread that
// writes.
func BenchmarkSendSize(b *testing.B) {
	for _, size := range []int{16 << 10, 32 << 10, sendSize, 64 << 10, writeSize} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			conn := drained(b)
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			gathered := make([]byte, writeSize)
			before := threadTime(b)
			for b.Loop() {
				for n := 0; n < len(gathered); n += size {
					if _, err := conn.Write(gathered[n:min(n+size, len(gathered))]); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.SetBytes(writeSize)
			b.ReportMetric(float64(threadTime(b)-before)/float64(b.N)/writeSize*(1<<20), "cpu-ns/MiB")
		})
	}
}

// drained returns a connection whose other end is read.
func drained(b *testing.B) net.Conn {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		into := make([]byte, 256<<10)
		for err := error(nil); err == nil; {
			_, err = far.Read(into)
		}
	}()
	b.Cleanup(func() {
		_ = conn.Close()
		<-done
		_ = far.Close()
	})
	return conn
}

func threadTime(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_THREAD, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
