//! Serialization of fields as JSON text, for `#[serde(with = "crate::as_json")]`. Types that skip empty fields can't
//! otherwise be written in a format without field names (postcard).

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

/// Serializes a value as a string of JSON.
pub fn serialize<T: Serialize, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serde_json::to_string(value).map_err(ser::Error::custom)?.serialize(serializer)
}

/// Deserializes a value from a string of JSON.
pub fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    serde_json::from_str(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Dropped;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Held {
        #[serde(with = "crate::as_json")]
        dropped: Dropped,
        after: u64,
    }

    #[test]
    fn what_is_left_out_shifts_nothing() {
        let held = Held { dropped: Dropped::default(), after: 7 };
        let bytes = postcard::to_stdvec(&held).unwrap();
        assert_eq!(postcard::from_bytes::<Held>(&bytes).unwrap(), held);
    }
}
