# The daemon as a system service. As root:  make install  or  make uninstall

PREFIX ?= /opt/inspectd
CONFIG := /etc/inspectd/line.yaml
ENGINES := /etc/inspectd/engines
LOCAL := /usr/local/lib
SERVICE_BIN := $(PREFIX)/venv/bin

.PHONY: install uninstall

install:  ## install the service in $(PREFIX) without starting it (root)
	$(PYTHON) -m venv $(PREFIX)/venv
	rm -rf build
	$(SERVICE_BIN)/python -m pip install --quiet --disable-pip-version-check '.[gpio,modbus,signing]'
	install -d $(PREFIX)/engines
	cp -r engines/. $(PREFIX)/engines
	chmod -R u=rwX,go=rX $(PREFIX)
	install -d /usr/local/bin
	ln -sf $(SERVICE_BIN)/inspectd /usr/local/bin/inspectd
	install -D -m 644 systemd/inspectd.sysusers $(LOCAL)/sysusers.d/inspectd.conf
	install -D -m 644 systemd/inspectd.tmpfiles $(LOCAL)/tmpfiles.d/inspectd.conf
	install -D -m 644 systemd/inspectd.sysctl $(LOCAL)/sysctl.d/60-inspectd.conf
	install -D -m 644 systemd/70-inspectd.rules $(LOCAL)/udev/rules.d/70-inspectd.rules
	install -D -m 644 systemd/inspectd.service $(LOCAL)/systemd/system/inspectd.service
	sed -i 's|/opt/inspectd|$(PREFIX)|' $(LOCAL)/systemd/system/inspectd.service
	systemd-sysusers $(LOCAL)/sysusers.d/inspectd.conf
	install -d $(ENGINES)
	test -e $(ENGINES)/filter-label -o -L $(ENGINES)/filter-label || ln -s $(PREFIX)/engines/filter-label $(ENGINES)
	test -e $(CONFIG) || { install -D -m 640 -g inspectd systemd/line.yaml $(CONFIG) && sed -i 's|/opt/inspectd|$(PREFIX)|' $(CONFIG); }
	-systemd-tmpfiles --create $(LOCAL)/tmpfiles.d/inspectd.conf
	-sysctl --quiet --load=$(LOCAL)/sysctl.d/60-inspectd.conf
	test ! -S /run/udev/control || { udevadm control --reload && udevadm trigger --subsystem-match=usb --subsystem-match=gpio; }
	systemctl daemon-reload
	@runuser -u inspectd -- $(SERVICE_BIN)/inspectd --version || \
	  { echo "The user inspectd can't run $(SERVICE_BIN)/python: install with a Python that it can read, such as PYTHON=/usr/bin/python3"; exit 1; }
	@echo "Installed. Next: edit $(CONFIG), then run"
	@echo "  sudo -u inspectd inspectd check --config $(CONFIG) && systemctl enable --now inspectd"
	@echo "After an update, run: systemctl restart inspectd"

uninstall:  ## remove the service; keep configuration and records (root)
	-systemctl disable --now inspectd
	rm -rf $(PREFIX)/venv $(addprefix $(PREFIX)/,$(wildcard engines/*))
	-rmdir $(PREFIX)/engines $(PREFIX)
	rm -f /usr/local/bin/inspectd $(LOCAL)/sysusers.d/inspectd.conf $(LOCAL)/tmpfiles.d/inspectd.conf
	rm -f $(LOCAL)/sysctl.d/60-inspectd.conf $(LOCAL)/udev/rules.d/70-inspectd.rules $(LOCAL)/systemd/system/inspectd.service
	systemctl daemon-reload
	@echo "Kept: /etc/inspectd, /var/lib/inspectd and the user inspectd."
