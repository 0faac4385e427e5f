# The daemon as a system service. As root:  make install  or  make uninstall

PREFIX ?= /opt/inspectd
CONFIG := /etc/inspectd/line.yaml
PAGE_CONFIG := /etc/inspectd/web.yaml
PAGE_STATE := /var/lib/inspectd-web
PULL_CONFIG := /etc/inspectd/pull.yaml
PULL_STATE := /var/lib/inspectd-pull
ENGINES := /etc/inspectd/engines
LOCAL := /usr/local/lib
BRIDGES := metrics mqtt
SERVICE_BIN := $(PREFIX)/venv/bin

.PHONY: install uninstall

install:  ## install the service in $(PREFIX) without starting it (root)
	$(PYTHON) -m venv $(PREFIX)/venv
	rm -rf build
	$(SERVICE_BIN)/python -m pip install --quiet --disable-pip-version-check '.[fleet,gpio,metrics,modbus,mqtt,signing,web]'
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
	install -D -m 644 systemd/inspectd-web.service $(LOCAL)/systemd/system/inspectd-web.service
	for bridge in $(BRIDGES); do install -m 644 systemd/inspectd-$$bridge.service $(LOCAL)/systemd/system; done
	install -D -m 644 systemd/inspectd-pull.service $(LOCAL)/systemd/system/inspectd-pull.service
	install -D -m 644 systemd/inspectd-pull.timer $(LOCAL)/systemd/system/inspectd-pull.timer
	sed -i 's|/opt/inspectd|$(PREFIX)|' $(LOCAL)/systemd/system/inspectd.service $(LOCAL)/systemd/system/inspectd-*.service
	systemd-sysusers $(LOCAL)/sysusers.d/inspectd.conf
	install -d $(ENGINES)
	test -e $(ENGINES)/filter-label -o -L $(ENGINES)/filter-label || ln -s $(PREFIX)/engines/filter-label $(ENGINES)
	test -e $(CONFIG) || { install -D -m 640 -g inspectd systemd/line.yaml $(CONFIG) && sed -i 's|/opt/inspectd|$(PREFIX)|' $(CONFIG); }
	test -e $(PAGE_CONFIG) || install -m 640 -g inspectd-web systemd/web.yaml $(PAGE_CONFIG)
	for bridge in $(BRIDGES); do \
	  test -e /etc/inspectd/$$bridge.yaml || install -m 640 -g inspectd-$$bridge systemd/$$bridge.yaml /etc/inspectd; \
	done
	install -d -m 711 -o inspectd-web -g inspectd-web $(PAGE_STATE)
	install -d -m 2750 -o inspectd-web -g inspectd $(PAGE_STATE)/engines
	test -e $(PULL_CONFIG) || install -m 640 -g inspectd-pull systemd/pull.yaml $(PULL_CONFIG)
	install -d -m 711 -o inspectd-pull -g inspectd-pull $(PULL_STATE)
	install -d -m 2750 -o inspectd-pull -g inspectd $(PULL_STATE)/engines
	-systemd-tmpfiles --create $(LOCAL)/tmpfiles.d/inspectd.conf
	-sysctl --quiet --load=$(LOCAL)/sysctl.d/60-inspectd.conf
	test ! -S /run/udev/control || { udevadm control --reload && udevadm trigger --subsystem-match=usb --subsystem-match=gpio; }
	systemctl daemon-reload
	@runuser -u inspectd -- $(SERVICE_BIN)/inspectd --version || \
	  { echo "The user inspectd can't run $(SERVICE_BIN)/python: install with a Python that it can read, such as PYTHON=/usr/bin/python3"; exit 1; }
	@echo "Installed. Next: edit $(CONFIG), then run"
	@echo "  sudo -u inspectd inspectd check --config $(CONFIG) && systemctl enable --now inspectd"
	@echo "The page for operators:"
	@echo "  sudo inspectd users add NAME --role admin && systemctl enable --now inspectd-web"
	@echo "For Prometheus and MQTT: inspectd-metrics and inspectd-mqtt; see docs/line/metrics.md and docs/line/mqtt.md"
	@echo "For engines from a repository: inspectd-pull.timer; see docs/line/fleet.md"
	@echo "After an update, run: systemctl restart inspectd && systemctl try-restart inspectd-web $(addprefix inspectd-,$(BRIDGES))"

uninstall:  ## remove the service; keep configuration and records (root)
	-systemctl disable --now inspectd-pull.timer inspectd-web $(addprefix inspectd-,$(BRIDGES)) inspectd
	rm -rf $(PREFIX)/venv $(addprefix $(PREFIX)/,$(wildcard engines/*))
	-rmdir $(PREFIX)/engines $(PREFIX)
	rm -f /usr/local/bin/inspectd $(LOCAL)/sysusers.d/inspectd.conf $(LOCAL)/tmpfiles.d/inspectd.conf
	rm -f $(LOCAL)/sysctl.d/60-inspectd.conf $(LOCAL)/udev/rules.d/70-inspectd.rules $(LOCAL)/systemd/system/inspectd.service
	rm -f $(LOCAL)/systemd/system/inspectd-web.service $(BRIDGES:%=$(LOCAL)/systemd/system/inspectd-%.service)
	rm -f $(addprefix $(LOCAL)/systemd/system/inspectd-pull,.service .timer)
	systemctl daemon-reload
	@echo "Kept: /etc/inspectd, /var/lib/inspectd, /var/lib/inspectd-* and the users inspectd and inspectd-*."
