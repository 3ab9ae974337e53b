//! The kernels' sources, in the order in which they are compiled as one.

/// Name and text of each file: the header that every kernel uses, then the kernels.
pub const SOURCES: [(&str, &str); 6] = [
    ("common.h", include_str!("../kernels/common.h")),
    ("scores.cu", include_str!("../kernels/scores.cu")),
    ("cross.cu", include_str!("../kernels/cross.cu")),
    ("psi.cu", include_str!("../kernels/psi.cu")),
    ("draws.cu", include_str!("../kernels/draws.cu")),
    ("fold.cu", include_str!("../kernels/fold.cu")),
];

/// Returns all files as one text; compilers name the file and line of what they find.
pub fn source() -> String {
    let numbered = |(name, text): &(&str, &str)| format!("#line 1 \"{name}\"\n{text}");
    SOURCES.iter().map(numbered).collect()
}
