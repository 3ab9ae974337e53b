use std::sync::Arc;

use arrow_array::{Date32Array, StringArray, TimestampMicrosecondArray};

use super::*;

fn single(values: &[f64]) -> BTreeSet<(u64, u64)> {
    let of = doubt(&DataType::Float32);
    values.iter().map(|&v| f64::from(v as f32)).map(|v| (v.to_bits(), of(v).to_bits())).collect()
}

#[test]
fn fractions_of_single_precision_are_told_by_their_grid() {
    let months: Vec<f64> = (0..24).map(|month| 2001.0 + f64::from(month) / 12.0).collect();
    let mut values = single(&months);
    let exact = doubt(&DataType::Float64);
    values.extend(months.iter().map(|v| (v.to_bits(), exact(*v).to_bits())));
    let found = nearest(values);
    assert_eq!(found.len(), 24);
    assert!(found.iter().zip(&months).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
    let noisy: Vec<f64> = months.iter().map(|&v| f64::from(v as f32)).collect();
    assert_eq!(all_near(&noisy, &found), found);
    assert_eq!(all_near(&[0.0, f64::INFINITY], &found), [0.0, f64::INFINITY]);
}

#[test]
fn fractions_without_a_grid_are_the_most_exact_of_those_alike() {
    let odd = [0.123_456_789, 0.777_123_123, 1.532_213_562];
    let mut values = single(&odd);
    values.extend(odd.iter().map(|v| (v.to_bits(), 1e-15f64.to_bits())));
    assert_eq!(nearest(values), odd);
}

#[test]
fn zones_have_their_own_days() {
    let of = |zone: &str, hours: i64| {
        let array =
            TimestampMicrosecondArray::from(vec![hours * 3_600_000_000]).with_timezone(zone.to_owned());
        let array: ArrayRef = Arc::new(array);
        let mut days = Vec::new();
        map(&array, "t", &mut |value| {
            days.push(value.to_string());
            Ok(())
        })
        .unwrap();
        days.remove(0)
    };
    assert_eq!(of("UTC", 0), "1970-01-01");
    assert_eq!(of("+05:30", 0), "1970-01-01 05:30:00");
    for (zone, hours) in [
        ("Europe/Berlin", 23),
        ("America/New_York", 24 + 5),
        ("Asia/Tokyo", 15),
        ("Pacific/Auckland", 11),
        ("Pacific/Honolulu", 24 + 10),
    ] {
        assert_eq!(of(zone, hours), "1970-01-02", "{zone}");
    }
}

#[test]
fn dates_and_text_are_read_alike() {
    let dates: ArrayRef = Arc::new(Date32Array::from(vec![Some(0), None, Some(31)]));
    let texts: ArrayRef =
        Arc::new(StringArray::from(vec![Some("1970-01-01"), Some("NaT"), Some("1970-02-01")]));
    let calendar = Calendar { unit: TimeUnit::Month, labels: calendar::LabelFormat::Unit };
    let scale = PeriodScale::Calendar(calendar);
    let numbers = |array| scale.with_periods(array, "t", &mut Vec::new(), |own| Ok(own.to_vec())).unwrap();
    let (a, b) = (numbers(&dates), numbers(&texts));
    assert_eq!((a[0], a[2], a[1].is_nan()), (12.0 * 1970.0, 12.0 * 1970.0 + 1.0, true));
    assert_eq!((a[0], a[2], b[1].is_nan()), (b[0], b[2], true));
}
