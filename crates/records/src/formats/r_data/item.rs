//! R's binary serialization, versions 2 and 3 (R Internals, section 1.8), as far as data frames need it.

use std::io::{BufReader, Read};

/// The deepest nesting of objects.
const DEEPEST: usize = 200;
/// The number of values that are reserved at once: lengths in damaged files are not to be believed.
const RESERVED: usize = 1 << 16;

/// A value of R.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Name(String),
    /// A pairlist with its tags.
    Pairs(Vec<(String, Item)>),
    Logicals(Vec<i32>),
    Integers(Vec<i32>),
    Reals(Vec<f64>),
    Texts(Vec<Option<String>>),
    List(Vec<Item>),
    /// An object that no column needs: an environment, a pointer, bytes.
    Other,
}

/// A value with its attributes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    pub(super) value: Value,
    attributes: Vec<(String, Item)>,
}

impl Item {
    fn plain(value: Value) -> Self {
        Self { value, attributes: Vec::new() }
    }

    /// Returns an attribute that is text, or nothing.
    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        match self.attributes.iter().find(|(own, _)| own == name) {
            Some((_, Item { value: Value::Texts(texts), .. })) => {
                texts.iter().map(|text| text.clone().unwrap_or_default()).collect()
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn is_data_frame(&self) -> bool {
        self.texts("class").iter().any(|class| class == "data.frame")
    }
}

/// Reads the objects of a file: one without a name, or with `named` those of `save`.
///
/// # Errors
/// The reason why the file can't be read.
pub(super) fn read_items(input: Box<dyn Read + Send>, named: bool) -> Result<Vec<(String, Item)>, String> {
    let mut reader =
        Items { input: BufReader::with_capacity(1 << 20, input), references: Vec::new(), depth: 0 };
    if named {
        reader.bytes(5)?;
    }
    if reader.bytes(2)? != b"X\n" {
        return Err("it is not in R's binary format".to_owned());
    }
    let version = reader.int()?;
    reader.int()?;
    reader.int()?;
    match version {
        2 => {}
        3 => {
            let length = reader.length()?;
            reader.bytes(length)?;
        }
        other => return Err(format!("it has version {other} of R's format, and 2 and 3 are known")),
    }
    let item = reader.item()?;
    match (named, item.value) {
        (true, Value::Pairs(pairs)) => Ok(pairs),
        (true, _) => Err("it does not begin with a list of objects".to_owned()),
        (false, value) => Ok(vec![(String::new(), Item { value, attributes: item.attributes })]),
    }
}

/// A reader of items.
struct Items {
    input: BufReader<Box<dyn Read + Send>>,
    /// Names and environments, which later items refer to.
    references: Vec<Value>,
    depth: usize,
}

type Found<T> = Result<T, String>;

impl Items {
    fn bytes(&mut self, length: usize) -> Found<Vec<u8>> {
        let mut out = Vec::with_capacity(length.min(RESERVED));
        let read =
            (&mut self.input).take(length as u64).read_to_end(&mut out).map_err(|error| error.to_string())?;
        if read == length { Ok(out) } else { Err("it ends too early".to_owned()) }
    }

    fn int(&mut self) -> Found<i32> {
        let mut bytes = [0; 4];
        self.input.read_exact(&mut bytes).map_err(|_| "it ends too early".to_owned())?;
        Ok(i32::from_be_bytes(bytes))
    }

    fn real(&mut self) -> Found<f64> {
        let mut bytes = [0; 8];
        self.input.read_exact(&mut bytes).map_err(|_| "it ends too early".to_owned())?;
        Ok(f64::from_be_bytes(bytes))
    }

    /// Reads a length; long vectors have it in two parts.
    fn length(&mut self) -> Found<usize> {
        let length = match self.int()? {
            -1 => (i64::from(self.int()?) << 32) | i64::from(self.int()?.cast_unsigned()),
            length => i64::from(length),
        };
        usize::try_from(length).map_err(|_| format!("it has a vector of length {length}"))
    }

    fn many<T>(&mut self, each: impl Fn(&mut Self) -> Found<T>) -> Found<Vec<T>> {
        let length = self.length()?;
        let mut out = Vec::with_capacity(length.min(RESERVED));
        for _ in 0..length {
            out.push(each(self)?);
        }
        Ok(out)
    }

    fn item(&mut self) -> Found<Item> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("its objects nest too deeply".to_owned());
        }
        let flags = self.int()?;
        let item = self.item_of(flags);
        self.depth -= 1;
        item
    }

    /// Reads an item behind its flags: the type in the lowest byte, then bits for attributes and a tag.
    fn item_of(&mut self, flags: i32) -> Found<Item> {
        let attributed = flags & 0x200 != 0;
        let value = match flags & 0xff {
            254 => return Ok(Item::plain(Value::Null)),
            255 => return self.reference(flags).map(Item::plain),
            1 => return self.name().map(Item::plain),
            2 | 6 => return self.pairs(flags),
            238 => return self.alternative(),
            4 => return self.environment(),
            9 => {
                let text = self.text()?;
                Value::Texts(vec![text])
            }
            10 => Value::Logicals(self.many(Self::int)?),
            13 => Value::Integers(self.many(Self::int)?),
            14 => Value::Reals(self.many(Self::real)?),
            15 => {
                self.many(|items| Ok((items.real()?, items.real()?)))?;
                Value::Other
            }
            16 => Value::Texts(self.many(Self::element)?),
            19 | 20 => Value::List(self.many(Self::item)?),
            22 => {
                self.references.push(Value::Other);
                self.item()?;
                self.item()?;
                Value::Other
            }
            24 => {
                let length = self.length()?;
                self.bytes(length)?;
                Value::Other
            }
            // The global environment, the base one and the like.
            241 | 242 | 251 | 252 | 253 => return Ok(Item::plain(Value::Other)),
            247 | 249 | 250 => return self.persistent(),
            other => return Err(format!("it holds an object of R's type {other}, such as a function")),
        };
        let attributes = if attributed { self.attributes()? } else { Vec::new() };
        Ok(Item { value, attributes })
    }

    fn attributes(&mut self) -> Found<Vec<(String, Item)>> {
        match self.item()?.value {
            Value::Pairs(pairs) => Ok(pairs),
            _ => Ok(Vec::new()),
        }
    }

    fn reference(&mut self, flags: i32) -> Found<Value> {
        let index = match flags >> 8 {
            0 => self.int()?,
            index => index,
        };
        let place = usize::try_from(index).ok().and_then(|index| index.checked_sub(1));
        place
            .and_then(|place| self.references.get(place))
            .cloned()
            .ok_or_else(|| "it refers to nothing".to_owned())
    }

    fn name(&mut self) -> Found<Value> {
        let name = match self.item()?.value {
            Value::Texts(mut texts) => Value::Name(texts.pop().flatten().unwrap_or_default()),
            _ => return Err("a name is no text".to_owned()),
        };
        self.references.push(name.clone());
        Ok(name)
    }

    /// Reads a pairlist, link by link: attributes, tag, value, and the flags of the rest.
    fn pairs(&mut self, mut flags: i32) -> Found<Item> {
        let (mut pairs, mut attributes) = (Vec::new(), Vec::new());
        loop {
            if flags & 0x200 != 0 {
                attributes = self.attributes()?;
            }
            let tag = match flags & 0x400 {
                0 => String::new(),
                _ => match self.item()?.value {
                    Value::Name(name) => name,
                    _ => String::new(),
                },
            };
            pairs.push((tag, self.item()?));
            flags = self.int()?;
            match flags & 0xff {
                2 | 6 => {}
                254 => break,
                _ => {
                    let rest = self.item_of(flags)?;
                    pairs.push((String::new(), rest));
                    break;
                }
            }
        }
        Ok(Item { value: Value::Pairs(pairs), attributes })
    }

    /// Reads a vector that R keeps in another form: a sequence, numbers as text, or a wrapper of another vector.
    fn alternative(&mut self) -> Found<Item> {
        let class = match self.item()?.value {
            Value::Pairs(pairs) => match pairs.into_iter().next() {
                Some((_, Item { value: Value::Name(name), .. })) => name,
                _ => return Err("an object of R has no class".to_owned()),
            },
            _ => return Err("an object of R has no class".to_owned()),
        };
        let state = self.item()?;
        let attributes = self.attributes()?;
        let value = match (class.as_str(), state.value) {
            ("compact_intseq", Value::Reals(parts)) => {
                Value::Integers(sequence(&parts)?.into_iter().map(|value| value as i32).collect())
            }
            ("compact_realseq", Value::Reals(parts)) => Value::Reals(sequence(&parts)?),
            ("deferred_string", Value::Pairs(pairs)) => Value::Texts(deferred(first(pairs)?)),
            (name, Value::Pairs(pairs)) if name.starts_with("wrap_") => first(pairs)?,
            (name, Value::List(items)) if name.starts_with("wrap_") => {
                items.into_iter().next().map_or(Value::Null, |item| item.value)
            }
            (other, _) => return Err(format!("it holds a vector of R's class {other}")),
        };
        Ok(Item { value, attributes })
    }

    fn environment(&mut self) -> Found<Item> {
        self.references.push(Value::Other);
        self.int()?;
        for _ in 0..4 {
            self.item()?;
        }
        Ok(Item::plain(Value::Other))
    }

    /// Reads the names of a package or namespace.
    fn persistent(&mut self) -> Found<Item> {
        self.int()?;
        self.many(Self::item)?;
        self.references.push(Value::Other);
        Ok(Item::plain(Value::Other))
    }

    /// Reads the bytes of a text; length -1 is `NA`.
    fn text(&mut self) -> Found<Option<String>> {
        let length = self.int()?;
        let Ok(length) = usize::try_from(length) else { return Ok(None) };
        let bytes = self.bytes(length)?;
        // Other encodings than UTF-8 are those of old systems in the West.
        Ok(Some(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => error.into_bytes().into_iter().map(char::from).collect(),
        }))
    }

    fn element(&mut self) -> Found<Option<String>> {
        match self.item()?.value {
            Value::Texts(mut texts) => Ok(texts.pop().flatten()),
            Value::Null => Ok(None),
            _ => Err("a text vector holds something else".to_owned()),
        }
    }
}

fn first(pairs: Vec<(String, Item)>) -> Found<Value> {
    pairs.into_iter().next().map(|(_, item)| item.value).ok_or_else(|| "an object of R is empty".to_owned())
}

/// Returns the numbers of a sequence: its length, start and step.
fn sequence(parts: &[f64]) -> Found<Vec<f64>> {
    const LONGEST: f64 = 4e9;
    match *parts {
        [length, start, step] if (0.0..LONGEST).contains(&length) => {
            Ok((0..length as u64).map(|at| start + at as f64 * step).collect())
        }
        _ => Err("a sequence has no length".to_owned()),
    }
}

/// Returns numbers as R writes them as text.
fn deferred(value: Value) -> Vec<Option<String>> {
    match value {
        Value::Integers(values) => {
            values.into_iter().map(|value| (value != i32::MIN).then(|| value.to_string())).collect()
        }
        Value::Reals(values) => {
            values.into_iter().map(|value| (!value.is_nan()).then(|| value.to_string())).collect()
        }
        _ => Vec::new(),
    }
}
