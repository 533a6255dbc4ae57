// Package tfrecord frames records as TensorFlow does in its .tfrecord files and
// TensorBoard in its event files: length (uint64, little endian), masked CRC-32C
// of these 8 bytes (uint32), data, masked CRC-32C of the data.
package tfrecord

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// MaxRecord bounds the length of a record that Read accepts, in bytes. Those of
// NAS-Bench-101 are below 1 KiB, events of a run below 100 KiB; without a bound
// a forged length would exhaust the memory.
const MaxRecord = 1 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maskedCRC is the checksum of the format: CRC-32C, rotated and offset so that a
// checksum of data holding checksums stays meaningful.
func maskedCRC(data []byte) uint32 {
	c := crc32.Checksum(data, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// Append appends data to file as one record.
func Append(file, data []byte) []byte {
	start := len(file)
	file = binary.LittleEndian.AppendUint64(file, uint64(len(data)))
	file = binary.LittleEndian.AppendUint32(file, maskedCRC(file[start:]))
	file = append(file, data...)
	return binary.LittleEndian.AppendUint32(file, maskedCRC(data))
}

// Size is the length of a record of n bytes of data in a file.
func Size(n int) int64 { return int64(n) + 16 }

// CorruptError reports a record that is cut short or does not match its checksums.
type CorruptError struct {
	Offset int64 // in the content, of the record
	Reason string
}

// Error says where and what.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("record at byte %d: %s", e.Offset, e.Reason)
}

// Starts tells whether a file that begins with start begins with a record: whether
// the checksum of the record's length is right.
func Starts(start []byte) bool {
	return len(start) >= headerSize && maskedCRC(start[:8]) == binary.LittleEndian.Uint32(start[8:])
}

// headerSize is the length of what precedes the data of a record, in bytes.
const headerSize = 12

// Read calls visit with the data of each record and the offset at which the
// record begins. The data is only valid during the call. The content ends well
// only between records; anything else is a *CorruptError. The errors of visit
// and of r come back as they are, the latter with the offset.
func Read(r io.Reader, visit func(offset int64, data []byte) error) error {
	var header [headerSize]byte
	var buf []byte
	for offset := int64(0); ; {
		corrupt := func(format string, args ...any) error {
			return &CorruptError{offset, fmt.Sprintf(format, args...)}
		}
		switch _, err := io.ReadFull(r, header[:]); {
		case err == io.EOF:
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return corrupt("truncated in the header of a record")
		case err != nil:
			return fmt.Errorf("at byte %d: %w", offset, err)
		}
		if !Starts(header[:]) {
			return corrupt("checksum of the record's length does not match")
		}
		length := binary.LittleEndian.Uint64(header[:8])
		if length > MaxRecord {
			return corrupt("record of %d bytes, want at most %d", length, MaxRecord)
		}
		if need := int(length) + 4; cap(buf) < need {
			buf = make([]byte, need)
		}
		buf = buf[:length+4]
		switch _, err := io.ReadFull(r, buf); {
		case err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF):
			return corrupt("truncated in a record of %d bytes", length)
		case err != nil:
			return fmt.Errorf("at byte %d: %w", offset, err)
		}
		data := buf[:length]
		if maskedCRC(data) != binary.LittleEndian.Uint32(buf[length:]) {
			return corrupt("checksum of the record's %d bytes of data does not match", length)
		}
		if err := visit(offset, data); err != nil {
			return err
		}
		offset += Size(len(data))
	}
}
