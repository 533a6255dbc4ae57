// Package tensorboard writes the records of a run as an event file, which
// TensorBoard shows while the run goes on and beside others.
//
// An event file is a sequence of TFRecords, each a message Event of TensorFlow's
// event.proto. Only a few of its fields are needed, so there is no generated code.
package tensorboard

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/nb1shot/nb1shot/internal/protobuf"
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

// message is a protobuf message under construction.
type message []byte

func (m message) varint(field protowire.Number, x uint64) message {
	return protowire.AppendVarint(protowire.AppendTag(m, field, protowire.VarintType), x)
}

func (m message) double(field protowire.Number, x float64) message {
	return protowire.AppendFixed64(protowire.AppendTag(m, field, protowire.Fixed64Type), math.Float64bits(x))
}

func (m message) float(field protowire.Number, x float32) message {
	return protowire.AppendFixed32(protowire.AppendTag(m, field, protowire.Fixed32Type), math.Float32bits(x))
}

func (m message) bytes(field protowire.Number, data []byte) message {
	return protowire.AppendBytes(protowire.AppendTag(m, field, protowire.BytesType), data)
}

func (m message) doubles(field protowire.Number, x []float64) message {
	var packed []byte
	for _, v := range x {
		packed = protowire.AppendFixed64(packed, math.Float64bits(v))
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

func decodeEvent(data []byte) (e Event, err error) {
	err = protobuf.Each(data, func(f protobuf.Field) error {
		switch f.Key {
		case protobuf.Fixed64(eventWallTime):
			e.WallTime = math.Float64frombits(f.Bits)
		case protobuf.Varint(eventStep):
			e.Step = int64(f.Bits)
		case protobuf.Bytes(eventFileVersion):
			e.FileVersion = string(f.Bytes)
		case protobuf.Bytes(eventSummary):
			return protobuf.Each(f.Bytes, func(f protobuf.Field) error {
				if f.Key != protobuf.Bytes(summaryValue) {
					return nil
				}
				v, err := decodeValue(f.Bytes)
				e.Values = append(e.Values, v)
				return err
			})
		}
		return nil
	})
	return e, err
}

func decodeValue(data []byte) (v Value, err error) {
	err = protobuf.Each(data, func(f protobuf.Field) error {
		switch f.Key {
		case protobuf.Bytes(valueTag):
			v.Tag = string(f.Bytes)
		case protobuf.Fixed32(valueScalar):
			v.Scalar = new(math.Float32frombits(uint32(f.Bits)))
		case protobuf.Bytes(valueHisto):
			v.Histogram, err = decodeHistogram(f.Bytes)
			return err
		case protobuf.Bytes(valueTensor):
			return protobuf.Each(f.Bytes, func(f protobuf.Field) error {
				if f.Key == protobuf.Bytes(tensorStrings) {
					v.Text = new(string(bytes.Clone(f.Bytes)))
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
	err := protobuf.Each(data, func(f protobuf.Field) error {
		x := math.Float64frombits(f.Bits)
		switch f.Key {
		case protobuf.Fixed64(histoMin):
			h.Min = x
		case protobuf.Fixed64(histoMax):
			h.Max = x
		case protobuf.Fixed64(histoNum):
			h.Num = x
		case protobuf.Fixed64(histoSum):
			h.Sum = x
		case protobuf.Fixed64(histoSquares):
			h.SumSquares = x
		case protobuf.Bytes(histoLimits):
			return decodeDoubles(f.Bytes, &h.Limits)
		case protobuf.Bytes(histoCounts):
			return decodeDoubles(f.Bytes, &h.Counts)
		}
		return nil
	})
	return h, err
}

func decodeDoubles(data []byte, into *[]float64) error {
	if len(data)%8 != 0 {
		return fmt.Errorf("not an array of numbers: %d bytes, want a multiple of 8", len(data))
	}
	for ; len(data) > 0; data = data[8:] {
		*into = append(*into, math.Float64frombits(binary.LittleEndian.Uint64(data)))
	}
	return nil
}
