// Package tensorboard writes the records of a run as an event file, which
// TensorBoard shows while the run goes on and beside others.
//
// An event file is a sequence of TFRecords, each a message Event of TensorFlow's
// event.proto. The few fields that are needed are coded by hand.
package tensorboard

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/nb1shot/nb1shot/internal/tfrecord"
)

// Event is one record of an event file.
type Event struct {
	WallTime    float64 // seconds since 1970
	Step        int64
	FileVersion string // FileVersion in the first event of a file, which has no values; empty in the others
	Values      []Value
}

// FileVersion opens every event file.
const FileVersion = "brain.Event:2"

// Value is one of a Scalar, a Histogram and a Text, under a tag.
type Value struct {
	Tag       string
	Scalar    *float32
	Histogram *Histogram
	Text      *string // Markdown
}

// Histogram counts values in buckets. Bucket i holds those above limit i−1, if
// there is one, up to limit i.
type Histogram struct {
	Min, Max, Num, Sum, SumSquares float64
	Limits, Counts                 []float64 // ascending; of the same length
}

// The numbers of fields in event.proto, summary.proto, histogram.proto and
// tensor.proto of TensorFlow.
const (
	eventWallTime, eventStep, eventFileVersion, eventSummary = 1, 2, 3, 5

	summaryValue                                            = 1
	valueTag, valueScalar, valueHisto, valueTensor, valueMD = 1, 2, 5, 8, 9

	histoMin, histoMax, histoNum, histoSum, histoSquares, histoLimits, histoCounts = 1, 2, 3, 4, 5, 6, 7

	tensorType, tensorShape, tensorStrings = 1, 2, 8
	typeString                             = 7 // DT_STRING

	metadataPlugin, pluginName = 1, 1
	textPlugin                 = "text"
)

// The wire types of protobuf.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// message is a protobuf message under construction.
type message []byte

func (m message) tag(field, wire int) message {
	return binary.AppendUvarint(m, uint64(field<<3|wire))
}

func (m message) varint(field int, x uint64) message {
	return binary.AppendUvarint(m.tag(field, wireVarint), x)
}

func (m message) double(field int, x float64) message {
	return binary.LittleEndian.AppendUint64(m.tag(field, wireFixed64), math.Float64bits(x))
}

func (m message) float(field int, x float32) message {
	return binary.LittleEndian.AppendUint32(m.tag(field, wireFixed32), math.Float32bits(x))
}

func (m message) bytes(field int, data []byte) message {
	return append(binary.AppendUvarint(m.tag(field, wireBytes), uint64(len(data))), data...)
}

func (m message) doubles(field int, x []float64) message {
	var packed []byte
	for _, v := range x {
		packed = binary.LittleEndian.AppendUint64(packed, math.Float64bits(v))
	}
	return m.bytes(field, packed)
}

// append appends the event to a file as one record.
func (e Event) append(file []byte) []byte {
	m := message(nil).double(eventWallTime, e.WallTime).varint(eventStep, uint64(e.Step))
	if e.FileVersion != "" {
		return tfrecord.Append(file, m.bytes(eventFileVersion, []byte(e.FileVersion)))
	}
	var summary message
	for _, v := range e.Values {
		summary = summary.bytes(summaryValue, v.encode())
	}
	return tfrecord.Append(file, m.bytes(eventSummary, summary))
}

func (v Value) encode() message {
	m := message(nil).bytes(valueTag, []byte(v.Tag))
	switch {
	case v.Scalar != nil:
		return m.float(valueScalar, *v.Scalar)
	case v.Histogram != nil:
		h := v.Histogram
		return m.bytes(valueHisto, message(nil).
			double(histoMin, h.Min).double(histoMax, h.Max).double(histoNum, h.Num).
			double(histoSum, h.Sum).double(histoSquares, h.SumSquares).
			doubles(histoLimits, h.Limits).doubles(histoCounts, h.Counts))
	case v.Text != nil:
		// A tensor without dimensions, which the text plugin is told to show.
		tensor := message(nil).varint(tensorType, typeString).bytes(tensorShape, nil).bytes(tensorStrings, []byte(*v.Text))
		plugin := message(nil).bytes(pluginName, []byte(textPlugin))
		return m.bytes(valueTensor, tensor).bytes(valueMD, message(nil).bytes(metadataPlugin, plugin))
	}
	return m
}

// Read reads an event file. Fields that this package does not write are passed
// over. A record that is cut short or does not match its checksum is a
// *tfrecord.CorruptError; the events before it are returned with it.
func Read(r io.Reader) ([]Event, error) {
	var events []Event
	err := tfrecord.Read(r, func(offset int64, data []byte) error {
		e, err := decodeEvent(data)
		if err != nil {
			return fmt.Errorf("event at byte %d: %w", offset, err)
		}
		events = append(events, e)
		return nil
	})
	if err != nil {
		err = fmt.Errorf("read events: %w", err)
	}
	return events, err
}

// errMessage reports what is not protobuf, or not of the expected types.
var errMessage = errors.New("is not a protobuf message as expected")

// fields calls visit with each field of a message: its number, and its content
// as a number (wire types varint, fixed64, fixed32) or as bytes.
func fields(data []byte, visit func(field, wire int, number uint64, content []byte) error) error {
	for len(data) > 0 {
		key, n := binary.Uvarint(data)
		if n <= 0 || key>>3 == 0 || key>>3 > math.MaxInt32 {
			return errMessage
		}
		data = data[n:]
		var number uint64
		var content []byte
		wire := int(key & 7)
		switch wire {
		case wireVarint, wireBytes:
			if number, n = binary.Uvarint(data); n <= 0 {
				return errMessage
			}
			data = data[n:]
			if wire == wireBytes {
				if number > uint64(len(data)) {
					return errMessage
				}
				content, data = data[:number], data[number:]
			}
		case wireFixed64:
			if len(data) < 8 {
				return errMessage
			}
			number, data = binary.LittleEndian.Uint64(data), data[8:]
		case wireFixed32:
			if len(data) < 4 {
				return errMessage
			}
			number, data = uint64(binary.LittleEndian.Uint32(data)), data[4:]
		default:
			return errMessage
		}
		if err := visit(int(key>>3), wire, number, content); err != nil {
			return err
		}
	}
	return nil
}

// key is a field with its wire type.
type key struct{ field, wire int }

func decodeEvent(data []byte) (e Event, err error) {
	err = fields(data, func(field, wire int, number uint64, content []byte) error {
		switch (key{field, wire}) {
		case key{eventWallTime, wireFixed64}:
			e.WallTime = math.Float64frombits(number)
		case key{eventStep, wireVarint}:
			e.Step = int64(number)
		case key{eventFileVersion, wireBytes}:
			e.FileVersion = string(content)
		case key{eventSummary, wireBytes}:
			return fields(content, func(field, wire int, _ uint64, content []byte) error {
				if (key{field, wire}) != (key{summaryValue, wireBytes}) {
					return nil
				}
				v, err := decodeValue(content)
				e.Values = append(e.Values, v)
				return err
			})
		}
		return nil
	})
	return e, err
}

func decodeValue(data []byte) (v Value, err error) {
	err = fields(data, func(field, wire int, number uint64, content []byte) error {
		switch (key{field, wire}) {
		case key{valueTag, wireBytes}:
			v.Tag = string(content)
		case key{valueScalar, wireFixed32}:
			v.Scalar = new(math.Float32frombits(uint32(number)))
		case key{valueHisto, wireBytes}:
			v.Histogram, err = decodeHistogram(content)
			return err
		case key{valueTensor, wireBytes}:
			return fields(content, func(field, wire int, _ uint64, content []byte) error {
				if (key{field, wire}) == (key{tensorStrings, wireBytes}) {
					v.Text = new(string(bytes.Clone(content)))
				}
				return nil
			})
		}
		return nil
	})
	return v, err
}

func decodeHistogram(data []byte) (*Histogram, error) {
	h := new(Histogram)
	err := fields(data, func(field, wire int, number uint64, content []byte) error {
		x := math.Float64frombits(number)
		switch (key{field, wire}) {
		case key{histoMin, wireFixed64}:
			h.Min = x
		case key{histoMax, wireFixed64}:
			h.Max = x
		case key{histoNum, wireFixed64}:
			h.Num = x
		case key{histoSum, wireFixed64}:
			h.Sum = x
		case key{histoSquares, wireFixed64}:
			h.SumSquares = x
		case key{histoLimits, wireBytes}:
			return decodeDoubles(content, &h.Limits)
		case key{histoCounts, wireBytes}:
			return decodeDoubles(content, &h.Counts)
		}
		return nil
	})
	return h, err
}

func decodeDoubles(data []byte, into *[]float64) error {
	if len(data)%8 != 0 {
		return errMessage
	}
	for ; len(data) > 0; data = data[8:] {
		*into = append(*into, math.Float64frombits(binary.LittleEndian.Uint64(data)))
	}
	return nil
}
