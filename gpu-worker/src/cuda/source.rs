//! The kernels' sources, in the order in which they are compiled as one.

/// What every kernel shares, then the kernels: name and text.
pub const SOURCES: [(&str, &str); 6] = [
    ("common.h", include_str!("../../kernels/common.h")),
    ("scores.cu", include_str!("../../kernels/scores.cu")),
    ("cross.cu", include_str!("../../kernels/cross.cu")),
    ("psi.cu", include_str!("../../kernels/psi.cu")),
    ("draws.cu", include_str!("../../kernels/draws.cu")),
    ("fold.cu", include_str!("../../kernels/fold.cu")),
];

/// All of them as one text; compilers name the file and line of what they find.
pub fn source() -> String {
    let numbered = |(name, text): &(&str, &str)| format!("#line 1 \"{name}\"\n{text}");
    SOURCES.iter().map(numbered).collect()
}
