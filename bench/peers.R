# Runs R's did once, with the options of peers.py: Rscript peers.R panel.parquet --draws 1000 --x x1 x2
# Needs the packages did and arrow.
suppressPackageStartupMessages({library(did); library(arrow)})

args <- commandArgs(trailingOnly = TRUE)
option <- function(name, default = NULL, many = FALSE) {
  at <- match(paste0("--", name), args)
  if (is.na(at)) return(default)
  if (!many) return(args[at + 1])
  after <- args[-seq_len(at)]
  end <- grep("^--", after)
  if (length(end)) head(after, end[1] - 1) else after
}

x <- option("x", character(), many = TRUE)
draws <- as.integer(option("draws", 0))
kind <- option("kind", "att_gt")
data <- as.data.frame(read_parquet(args[1]))
if (kind == "rc") data$id <- seq_len(nrow(data))
result <- att_gt(
  yname = option("y", "y"), tname = option("t", "time"), idname = option("id", "id"), gname = option("g", "group"),
  data = data, xformla = if (length(x)) reformulate(x) else ~1, est_method = option("est-method", "dr"),
  control_group = c(never = "nevertreated", notyet = "notyettreated")[[option("control", "never")]],
  base_period = option("base-period", "varying"), panel = kind != "rc", allow_unbalanced_panel = kind == "unbalanced",
  bstrap = draws > 0, cband = draws > 0, biters = max(draws, 1)
)
for (type in c("simple", "dynamic", "group", "calendar")) aggte(result, type = type)
cells <- option("cells")
if (!is.null(cells)) {
  numbers <- cbind(result$group, result$t, result$att, result$se)
  lines <- apply(numbers, 1, function(row) paste0("[", paste(ifelse(is.na(row), "null", sprintf("%.17g", row)), collapse = ", "), "]"))
  writeLines(lines, cells)
}
cat(length(result$att), "\n")
