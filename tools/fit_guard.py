from inspectd_tools.programs import fit_guard

if __name__ == "__main__":
    raise SystemExit(fit_guard())
