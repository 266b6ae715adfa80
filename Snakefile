# So that `snakemake` finds the workflow from here, too. It lies in workflow/Snakefile.
include: "workflow/Snakefile"


# What is only included brings no default target: `snakemake` would silently do nothing.
workflow.default_target = "all"
