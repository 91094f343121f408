// TLS inside TLS with Go's own connections: one side of one cell of the comparing bench.
//
//	nested server|client KIND DEPTH AMOUNT WARM_UP CONNECTIONS PORT FOLDER
//
// A server prints its port first. Both print their report, a line of JSON, at the end.
// benches/compare/side/work.rs says what each kind of work is.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	chunk   = 64 * 1024
	message = 64
	echo    = 16 * 1024
)

type side struct {
	isServer            bool
	kind                string
	depth, amount       int
	warmUp, connections int
	port                string
	config              *tls.Config
	whole               int // handshakes that were not resumed
}

type report struct {
	Wall     float64   `json:"wall"`
	CPU      float64   `json:"cpu"`
	Resident *[2]int64 `json:"resident,omitempty"`
}

func main() {
	arguments := os.Args[1:]
	number := func(index int) int {
		value, err := strconv.Atoi(arguments[index])
		check(err)
		return value
	}
	s := &side{
		isServer: arguments[0] == "server", kind: arguments[1], depth: number(2), amount: number(3),
		warmUp: number(4), connections: number(5), port: arguments[6],
	}
	s.config = configuration(arguments[7], s.isServer, s.kind == "resume")
	var result report
	switch {
	case s.kind == "stack4" || s.kind == "handshake" || s.kind == "resume":
		if s.isServer {
			result = s.serveHandshakes(listen())
		} else {
			result = s.askHandshakes()
		}
	case s.kind == "memory" && s.isServer:
		result = s.serveMemory(listen())
	case s.kind == "bulk" || s.kind == "both" || s.kind == "ask" || s.kind == "ask100":
		if s.isServer {
			result = s.serve(listen())
		} else {
			result = s.ask()
		}
	default:
		check(fmt.Errorf("no %s here", s.kind))
	}
	line, err := json.Marshal(result)
	check(err)
	fmt.Println(string(line))
}

func configuration(folder string, isServer, resumes bool) *tls.Config {
	config := &tls.Config{
		MinVersion:             tls.VersionTLS13,
		CurvePreferences:       []tls.CurveID{tls.X25519},
		SessionTicketsDisabled: !resumes,
		ServerName:             "localhost",
	}
	if isServer {
		pair, err := tls.LoadX509KeyPair(folder+"/certificate.pem", folder+"/key.pem")
		check(err)
		config.Certificates = []tls.Certificate{pair}
		return config
	}
	certificate, err := os.ReadFile(folder + "/certificate.pem")
	check(err)
	config.RootCAs = x509.NewCertPool()
	config.RootCAs.AppendCertsFromPEM(certificate)
	if resumes {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	}
	return config
}

// meter begins when the last connection is warm, and ends when the last one is done.
type meter struct {
	toWarm, toDo int64
	begun, ended clocks
}

type clocks struct {
	wall time.Time
	cpu  time.Duration
}

func newMeter(connections int) *meter {
	return &meter{toWarm: int64(connections), toDo: int64(connections)}
}

func read() clocks {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return clocks{time.Now(), time.Duration(usage.Utime.Nano() + usage.Stime.Nano())}
}

func (m *meter) begin() { m.begun = read() }

func (m *meter) warm() {
	if atomic.AddInt64(&m.toWarm, -1) == 0 {
		m.begin()
	}
}

func (m *meter) done() {
	if atomic.AddInt64(&m.toDo, -1) == 0 {
		m.ended = read()
	}
}

func (m *meter) report() report {
	return report{Wall: m.ended.wall.Sub(m.begun.wall).Seconds(), CPU: (m.ended.cpu - m.begun.cpu).Seconds()}
}

func listen() net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	return listener
}

func (s *side) connect() net.Conn {
	conn, err := net.Dial("tcp", "127.0.0.1:"+s.port)
	check(err)
	return conn
}

// layered puts all layers over a connection, each announced by the server.
func (s *side) layered(conn net.Conn) net.Conn {
	for layer := 0; layer < s.depth; layer++ {
		var above *tls.Conn
		if s.isServer {
			write(conn, []byte{1})
			above = tls.Server(conn, s.config)
		} else {
			readFull(conn, make([]byte, 1))
			above = tls.Client(conn, s.config)
		}
		check(above.Handshake())
		state := above.ConnectionState()
		if state.Version != tls.VersionTLS13 || state.CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
			check(fmt.Errorf("agreed on %x %s", state.Version, tls.CipherSuiteName(state.CipherSuite)))
		}
		if s.kind == "resume" && !state.DidResume {
			s.whole++
		}
		conn = above
	}
	return conn
}

func (s *side) serve(listener net.Listener) report {
	m := newMeter(s.connections)
	s.all(func() func() {
		conn := accept(listener)
		return func() {
			conn := s.layered(conn)
			s.servePart(conn, s.warmUp, m.warm)
			s.servePart(conn, s.amount, m.done)
		}
	})
	return m.report()
}

func (s *side) ask() report {
	m := newMeter(s.connections)
	conns := make(chan net.Conn, s.connections)
	s.all(func() func() {
		return func() {
			conn := s.layered(s.connect())
			s.askPart(conn, s.warmUp)
			conns <- conn
		}
	})
	m.begin()
	s.all(func() func() {
		conn := <-conns
		return func() {
			s.askPart(conn, s.amount)
			m.done()
		}
	})
	return m.report()
}

// all runs one function for each connection, at the same time.
func (s *side) all(prepare func() func()) {
	var group sync.WaitGroup
	for index := 0; index < s.connections; index++ {
		work := prepare()
		group.Add(1)
		go func() {
			defer group.Done()
			work()
		}()
	}
	group.Wait()
}

func (s *side) servePart(conn net.Conn, amount int, beforeLast func()) {
	switch s.kind {
	case "bulk":
		receive(conn, amount)
	case "both":
		exchange(conn, amount)
	default:
		buffer := make([]byte, message)
		for left := amount; left > 0; left-- {
			readFull(conn, buffer)
			if left == 1 {
				beforeLast()
			}
			write(conn, buffer)
		}
		return
	}
	beforeLast()
	write(conn, []byte{1})
}

func (s *side) askPart(conn net.Conn, amount int) {
	switch s.kind {
	case "bulk":
		send(conn, amount)
	case "both":
		exchange(conn, amount)
	default:
		buffer := make([]byte, message)
		for left := amount; left > 0; left-- {
			write(conn, buffer)
			readFull(conn, buffer)
		}
		return
	}
	readFull(conn, make([]byte, 1))
}

func (s *side) serveHandshakes(listener net.Listener) report {
	m := newMeter(1)
	for number := 0; number < s.warmUp+s.amount; number++ {
		if number == s.warmUp {
			m.begin()
		}
		conn := s.layered(accept(listener))
		buffer := make([]byte, message)
		readFull(conn, buffer)
		write(conn, buffer)
		untilEnd(conn)
		conn.Close()
	}
	m.done()
	return m.report()
}

func (s *side) askHandshakes() report {
	m := newMeter(1)
	var untilUp time.Duration
	for number := 0; number < s.warmUp+s.amount; number++ {
		if number == s.warmUp {
			m.begin()
			untilUp = 0
		}
		begun := time.Now()
		conn := s.layered(s.connect())
		buffer := make([]byte, message)
		write(conn, buffer)
		readFull(conn, buffer)
		untilUp += time.Since(begun)
		conn.Close()
	}
	m.done()
	if s.kind == "resume" && s.whole > s.depth {
		check(fmt.Errorf("%d handshakes were whole, and not the first alone", s.whole))
	}
	result := m.report()
	if s.kind == "stack4" {
		result.Wall = untilUp.Seconds()
	}
	return result
}

func (s *side) serveMemory(listener net.Listener) report {
	control := accept(listener)
	idle := func() {
		conn := accept(listener)
		go func() {
			conn := s.layered(conn)
			buffer := make([]byte, echo)
			readFull(conn, buffer)
			write(conn, buffer)
			untilEnd(conn)
		}()
	}
	var looks [2]int64
	idle()
	looks[0] = answerWithMemory(control)
	for index := 0; index < s.connections; index++ {
		idle()
	}
	looks[1] = answerWithMemory(control)
	return report{Resident: &looks}
}

func answerWithMemory(control net.Conn) int64 {
	readFull(control, make([]byte, 1))
	status, err := os.ReadFile("/proc/self/status")
	check(err)
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kilobytes, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	check(err)
	write(control, []byte{1})
	return kilobytes * 1024
}

func accept(listener net.Listener) net.Conn {
	conn, err := listener.Accept()
	check(err)
	return conn
}

func exchange(conn net.Conn, amount int) {
	sent := make(chan struct{})
	go func() {
		send(conn, amount)
		close(sent)
	}()
	receive(conn, amount)
	<-sent
}

func send(conn net.Conn, amount int) {
	buffer := make([]byte, chunk)
	for ; amount > 0; amount -= chunk {
		if amount < chunk {
			buffer = buffer[:amount]
		}
		write(conn, buffer)
	}
}

func receive(conn net.Conn, amount int) {
	buffer := make([]byte, chunk)
	for amount > 0 {
		most := chunk
		if amount < most {
			most = amount
		}
		count, err := conn.Read(buffer[:most])
		check(err)
		amount -= count
	}
}

func readFull(conn net.Conn, buffer []byte) {
	_, err := io.ReadFull(conn, buffer)
	check(err)
}

func write(conn net.Conn, data []byte) {
	_, err := conn.Write(data)
	check(err)
}

// untilEnd: how the peer ends is no matter.
func untilEnd(conn net.Conn) {
	buffer := make([]byte, message)
	for {
		if _, err := conn.Read(buffer); err != nil {
			return
		}
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
