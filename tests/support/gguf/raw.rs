//! A GGUF file as keys and tensors, and its bytes. Nothing is checked: tests write files that are wrong on purpose.

/// A tensor's storage type, by ggml's number.
pub const F32: u32 = 0;
pub const F16: u32 = 1;
pub const Q8_0: u32 = 8;

/// A value under a key.
#[derive(Clone, Debug)]
pub enum Value {
    U8(u8),
    U32(u32),
    I32(i32),
    U64(u64),
    F32(f32),
    Bool(bool),
    Str(String),
    U32s(Vec<u32>),
    I32s(Vec<i32>),
    F32s(Vec<f32>),
    Strs(Vec<String>),
    /// Any type number with any bytes.
    Bytes(u32, Vec<u8>),
}

impl Value {
    fn append(&self, out: &mut Vec<u8>) {
        match self {
            Self::U8(v) => tagged(out, 0, &[*v]),
            Self::U32(v) => tagged(out, 4, &v.to_le_bytes()),
            Self::I32(v) => tagged(out, 5, &v.to_le_bytes()),
            Self::F32(v) => tagged(out, 6, &v.to_le_bytes()),
            Self::Bool(v) => tagged(out, 7, &[u8::from(*v)]),
            Self::Str(v) => {
                tagged(out, 8, &[]);
                string(out, v);
            }
            Self::U64(v) => tagged(out, 10, &v.to_le_bytes()),
            Self::U32s(v) => {
                array(out, 4, v.len());
                v.iter().for_each(|x| out.extend(x.to_le_bytes()));
            }
            Self::I32s(v) => {
                array(out, 5, v.len());
                v.iter().for_each(|x| out.extend(x.to_le_bytes()));
            }
            Self::F32s(v) => {
                array(out, 6, v.len());
                v.iter().for_each(|x| out.extend(x.to_le_bytes()));
            }
            Self::Strs(v) => {
                array(out, 8, v.len());
                v.iter().for_each(|s| string(out, s));
            }
            Self::Bytes(kind, bytes) => tagged(out, *kind, bytes),
        }
    }
}

fn tagged(out: &mut Vec<u8>, kind: u32, bytes: &[u8]) {
    out.extend(kind.to_le_bytes());
    out.extend(bytes);
}

fn array(out: &mut Vec<u8>, kind: u32, len: usize) {
    tagged(out, 9, &kind.to_le_bytes());
    out.extend((len as u64).to_le_bytes());
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// A tensor: dimensions as ggml orders them (the row's length first), data as stored.
#[derive(Clone, Debug)]
pub struct Tensor {
    pub name: String,
    pub dims: Vec<u64>,
    pub kind: u32,
    pub data: Vec<u8>,
    /// Where the table says the data is; `None` means where it really is.
    pub offset: Option<u64>,
}

/// A file before it is bytes.
#[derive(Clone, Debug)]
pub struct Raw {
    pub magic: [u8; 4],
    pub version: u32,
    /// The counts that the header claims, when they are to be wrong.
    pub tensor_count: Option<u64>,
    pub key_count: Option<u64>,
    pub keys: Vec<(String, Value)>,
    pub tensors: Vec<Tensor>,
    pub alignment: usize,
}

impl Raw {
    pub fn new() -> Self {
        Self {
            magic: *b"GGUF",
            version: 3,
            tensor_count: None,
            key_count: None,
            keys: Vec::new(),
            tensors: Vec::new(),
            alignment: 32,
        }
    }

    /// Sets a key, in its place when it is there already.
    pub fn set(&mut self, key: &str, value: Value) {
        match self.keys.iter_mut().find(|(k, _)| k == key) {
            Some((_, old)) => *old = value,
            None => self.keys.push((key.to_owned(), value)),
        }
    }

    pub fn remove(&mut self, key: &str) {
        self.keys.retain(|(k, _)| k != key);
    }

    /// The tensor of that name, which must be there.
    pub fn tensor(&mut self, name: &str) -> &mut Tensor {
        self.tensors.iter_mut().find(|t| t.name == name).unwrap_or_else(|| panic!("no tensor {name}"))
    }

    /// The header alone: keys and the tensor table, padded to where the data starts.
    pub fn header(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(self.magic);
        out.extend(self.version.to_le_bytes());
        out.extend(self.tensor_count.unwrap_or(self.tensors.len() as u64).to_le_bytes());
        out.extend(self.key_count.unwrap_or(self.keys.len() as u64).to_le_bytes());
        for (key, value) in &self.keys {
            string(&mut out, key);
            value.append(&mut out);
        }
        let mut end = 0;
        for tensor in &self.tensors {
            string(&mut out, &tensor.name);
            out.extend((tensor.dims.len() as u32).to_le_bytes());
            tensor.dims.iter().for_each(|d| out.extend(d.to_le_bytes()));
            out.extend(tensor.kind.to_le_bytes());
            out.extend(tensor.offset.unwrap_or(end).to_le_bytes());
            end += tensor.data.len().next_multiple_of(self.alignment) as u64;
        }
        out.resize(out.len().next_multiple_of(self.alignment), 0);
        out
    }

    /// The whole file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = self.header();
        for tensor in &self.tensors {
            out.extend_from_slice(&tensor.data);
            out.resize(out.len().next_multiple_of(self.alignment), 0);
        }
        out
    }
}
