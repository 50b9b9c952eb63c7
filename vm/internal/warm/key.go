package warm

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
)

// Key names a saved guest after all that it depends on.
type Key struct{ name string }

func (k Key) String() string { return k.name }

// KeyBuilder collects what a guest depends on. The order matters.
type KeyBuilder struct{ h hash.Hash }

// keyVersion changes when what is saved does.
const keyVersion = "1"

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
	sum := sha256.New()
	if name == "" {
		sum.Write(data)
	} else {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := io.Copy(sum, f); err != nil {
			return err
		}
	}
	k.h.Write(sum.Sum(nil))
	return nil
}

// Sum ends the key.
func (k *KeyBuilder) Sum() Key { return Key{hex.EncodeToString(k.h.Sum(nil)[:16])} }
