package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// maxFrame is the largest frame that every server accepts.
// https://www.rfc-editor.org/rfc/rfc9113#section-4.2
const maxFrame = 16 << 10

// startHTTP2 sends the preface, and opens all windows so wide that no answer waits.
func (c *client) startHTTP2() error {
	if _, err := io.WriteString(c.conn, http2.ClientPreface); err != nil {
		return err
	}
	c.framer = http2.NewFramer(c.conn, c.conn)
	c.framer.AllowIllegalWrites = true
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.encoder = hpack.NewEncoder(&c.block)
	const window = 1 << 30
	if err := c.framer.WriteSettings(http2.Setting{ID: http2.SettingEnablePush}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: window}); err != nil {
		return err
	}
	return c.framer.WriteWindowUpdate(0, window)
}

// doHTTP2 opens a stream for each request, and reads until all have ended.
func (c *client) doHTTP2(x exchange) ([]answer, error) {
	open := map[uint32]*answer{}
	var order []uint32
	parts := x.parts
	if len(parts) == 0 || parts[len(parts)-1] != (part{}) {
		parts = append(slices.Clone(parts), part{})
	}
	for len(parts) > 0 {
		end := slices.Index(parts, part{})
		id, err := c.send(parts[:end])
		if err != nil {
			return nil, errors.Join(io.EOF, err)
		}
		open[id] = &answer{}
		order = append(order, id)
		parts = parts[end+1:]
	}
	err := c.receive(open)
	var answers []answer
	for _, id := range order {
		if a := open[id]; a.status != 0 {
			answers = append(answers, *a)
		}
	}
	return answers, err
}

// send sends one request.
func (c *client) send(parts []part) (id uint32, err error) {
	c.block.Reset()
	var body bytes.Buffer
	for _, p := range parts {
		if p.name == "" {
			body.WriteString(p.value)
		} else if err := c.encoder.WriteField(hpack.HeaderField{Name: p.name, Value: p.value}); err != nil {
			return 0, err
		}
	}
	id = c.stream*2 + 1
	c.stream++
	block := c.block.Bytes()
	first := block[:min(len(block), maxFrame)]
	block = block[len(first):]
	err = c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: first, EndStream: body.Len() == 0, EndHeaders: len(block) == 0})
	for err == nil && len(block) > 0 {
		next := block[:min(len(block), maxFrame)]
		block = block[len(next):]
		err = c.framer.WriteContinuation(id, len(block) == 0, next)
	}
	// A server may refuse a body that is larger than its window; ours are.
	for err == nil && body.Len() > 0 {
		next := body.Next(maxFrame)
		err = c.framer.WriteData(id, body.Len() == 0, next)
	}
	return id, err
}

// receive reads until all streams have ended. A stream that nginx resets has no
// answer.
func (c *client) receive(open map[uint32]*answer) error {
	for waiting := len(open); waiting > 0; {
		frame, err := c.framer.ReadFrame()
		var stream http2.StreamError
		if errors.As(err, &stream) {
			return err // an answer that a client cannot read is a finding
		}
		if err != nil {
			return ended(err)
		}
		a, ended := open[frame.Header().StreamID], false
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				err = c.framer.WriteSettingsAck()
			}
		case *http2.PingFrame:
			err = c.framer.WritePing(true, f.Data)
		case *http2.GoAwayFrame:
			if f.ErrCode != http2.ErrCodeNo {
				return io.EOF
			}
		case *http2.MetaHeadersFrame:
			if a != nil {
				a.status, a.header = headerOf(f)
				ended = f.StreamEnded()
			}
		case *http2.DataFrame:
			if a != nil {
				a.body = append(a.body, f.Data()...)
				ended = f.StreamEnded()
			}
		case *http2.RSTStreamFrame:
			ended = a != nil
		}
		if err != nil {
			return io.EOF
		}
		if ended {
			waiting--
		}
	}
	return nil
}

func headerOf(f *http2.MetaHeadersFrame) (status int, header http.Header) {
	header = http.Header{}
	for _, field := range f.RegularFields() {
		header.Add(field.Name, field.Value)
	}
	status, _ = strconv.Atoi(f.PseudoValue("status")) // 0, no answer, if it is none
	return status, header
}
