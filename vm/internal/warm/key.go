package warm

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"
)

// Key names a saved guest after all that it depends on.
type Key struct{ name string }

func (k Key) String() string { return k.name }

// KeyBuilder collects what a guest depends on. The order matters.
type KeyBuilder struct{ h hash.Hash }

// keyVersion changes when what is saved does.
const keyVersion = "2"

// NewKey begins a key.
func NewKey() *KeyBuilder {
	k := &KeyBuilder{sha256.New()}
	k.Strings(keyVersion)
	return k
}

// Strings adds strings.
func (k *KeyBuilder) Strings(list ...string) {
	var b []byte
	for _, s := range list {
		b = append(binary.LittleEndian.AppendUint64(b, uint64(len(s))), s...)
	}
	k.h.Write(b)
}

// Identity adds a file by what stat(2) says: a large one, which is replaced and not changed.
func (k *KeyBuilder) Identity(name string) error {
	st, err := os.Stat(name)
	if err != nil {
		return err
	}
	k.Strings(name, fmt.Sprint(st.Size(), st.ModTime().UnixNano()))
	return nil
}

// Content adds the content of the file name, or data if name is empty.
func (k *KeyBuilder) Content(name string, data []byte) error {
	sum := sha256.Sum256(data)
	if name != "" {
		var err error
		if sum, err = fileSum(name); err != nil {
			return err
		}
	}
	k.h.Write(sum[:])
	return nil
}

// sums are the sums of files that this process has read, by name and what stat(2) says: that of an agent, of which there is one for
// all cells of an architecture, takes 3 ms.
var sums sync.Map // fileID to [sha256.Size]byte

type fileID struct {
	name           string
	size, modified int64 // nanoseconds of Unix time
}

func fileSum(name string) (sum [sha256.Size]byte, err error) {
	f, err := os.Open(name)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return sum, err
	}
	id := fileID{name, st.Size(), st.ModTime().UnixNano()}
	if v, ok := sums.Load(id); ok {
		return v.([sha256.Size]byte), nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum, err
	}
	copy(sum[:], h.Sum(nil))
	sums.Store(id, sum)
	return sum, nil
}

// Sum ends the key.
func (k *KeyBuilder) Sum() Key { return Key{hex.EncodeToString(k.h.Sum(nil)[:16])} }
